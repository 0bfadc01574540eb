"""Pieces of work: interrupted and resumed equals undisturbed; results of anything else are never used."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bcdh_lib.comparison.pieces import Piece, Result, do_all
from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import Study


@dataclass(frozen=True)
class Square(Piece):
    """The square of a number; fails as long as there is a file `stop` and the number is 3."""

    number: int = 0
    kind = "squares"

    @property
    def name(self):
        return f"square-{self.number}"

    @property
    def decided_by(self):
        return {"number": self.number}

    def work(self):
        if self.number == 3 and (self.study.root / "stop").exists():
            raise StudyError("stopped")
        return Result(pd.DataFrame({"square": [self.number**2]}), {"note": "odd" if self.number % 2 else "even"})


def squares(root: Path, inputs: str = "") -> list[Square]:
    return [Square(Study(root, None), inputs, number) for number in range(5)]


def test_interrupted_and_resumed_equals_undisturbed(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    do_all(squares(whole), "squares", 2)
    broken.mkdir()
    (broken / "stop").touch()
    with pytest.raises(StudyError, match="stopped"):
        do_all(squares(broken), "squares", 1)
    finished = {piece.path: piece.path.read_bytes() for piece in squares(broken) if piece.path.is_file()}
    assert 0 < len(finished) < 5
    (broken / "stop").unlink()
    do_all(squares(broken), "squares", 2)
    assert all(path.read_bytes() == content for path, content in finished.items())  # nothing was done twice
    for one, other in zip(squares(whole), squares(broken), strict=True):
        assert one.read().rows.equals(other.read().rows)
        assert one.read().facts["note"] == other.read().facts["note"]


def test_other_inputs_are_another_piece(tmp_path):
    do_all(squares(tmp_path), "squares", 1)
    assert not any(piece.path.exists() for piece in squares(tmp_path, "other"))


@pytest.mark.parametrize("damage", ["absent", "cut", "another's"])
def test_a_result_that_is_not_this_pieces_is_refused(tmp_path, damage):
    piece, other = squares(tmp_path)[:2]
    piece.make()
    other.make()
    if damage == "absent":
        piece.path.unlink()
    else:
        piece.path.write_bytes(piece.path.read_bytes()[:100] if damage == "cut" else other.path.read_bytes())
    with pytest.raises(StudyError, match="make study"):
        piece.read()
