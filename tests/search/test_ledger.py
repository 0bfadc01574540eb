"""The ledger of an update: by hand; the same as dictionaries, whatever the order; lines cut by a kill; nothing at all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.photos.folder import LeftOut, Photo, state_of
from bcdh_lib.search import ledger as module
from bcdh_lib.search.encoder import Encoded
from bcdh_lib.search.ledger import Ledger, note

BITS = 8


def encoded(path, state, value):
    return Encoded(Photo(path, state, 64, 64, f"{ord(path):064x}", ""), np.full(BITS, value, np.float32))


def rows_of(*rows):
    return pd.DataFrame(rows, columns=["path", "size", "mtime_ns"]).assign(sha256="before")


@pytest.fixture
def files(tmp_path):
    """Six files by their paths in the tables."""
    files = {name: tmp_path / name for name in "abcdef"}
    for name, path in files.items():
        path.write_text(name)
    return files


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger", BITS)
    yield ledger
    ledger.close()


def test_by_hand(ledger, files, tmp_path, monkeypatch):
    """a is as it was, b has changed and been noted, c changed since it was noted, d is new, z is gone, e cannot be read."""
    monkeypatch.setattr(module, "BLOCK", 2)
    state = {name: state_of(path.stat()) for name, path in files.items()}
    del files["f"]
    notes = tmp_path / "notes.jsonl"
    notes.write_text(note(encoded("b", state["b"], 2)) + note(encoded("c", [9, 9], 3)) + note(LeftOut("d", "empty", "")))
    before = [rows_of(("z", 1, 1), ("a", *state["a"])), rows_of(("b", 9, 9))]
    ledger.begin([LeftOut("barred", "unreadable", ""), *files.items()], before, False, [notes])
    assert list(ledger.missing()) == ["c", "d", "e"]
    assert ledger.unaccounted() == 3
    with open(notes, "a") as more:
        more.write("\n" + note(encoded("d", state["d"], 4)) + note(encoded("c", state["c"], 5)))
    ledger.read([notes])
    assert ledger.unaccounted() == 1
    with open(notes, "a") as more:
        more.write(note(LeftOut("e", "not an image", "text")))
    ledger.read([notes])
    assert ledger.unaccounted() == 0
    assert ledger.counts() == {"photos": 4, "new": 2, "anew": 1, "gone": 1}
    assert [one.path for one in ledger.left_out()] == ["barred", "e"]
    blocks = list(ledger.rows())
    assert [table["path"].tolist() for table, _ in blocks] == [["a", "b"], ["c", "d"]]
    assert [table["row"].tolist() for table, _ in blocks] == [[1, -1], [-1, -1]]
    assert [outputs[:, 0].tolist() for _, outputs in blocks] == [[2], [5, 4]]
    assert blocks[0][0]["sha256"].tolist() == ["before", f"{ord('b'):064x}"]


def test_anew_no_row_is_kept(ledger, files):
    before = [rows_of(*((name, *state_of(path.stat())) for name, path in files.items()))]
    ledger.begin(files.items(), before, True, [])
    assert list(ledger.missing()) == list(files)
    assert ledger.counts() == {"photos": 0, "new": 0, "anew": 0, "gone": 6}


def test_a_line_cut_anywhere_costs_its_photo_alone(tmp_path, files):
    state = state_of(files["a"].stat())
    line, whole = note(encoded("a", state, 1)), note(encoded("b", state_of(files["b"].stat()), 2))
    notes = tmp_path / "notes.jsonl"
    for cut in range(0, len(line) - 1, 17):
        notes.write_text(line[:cut] + "\n" + whole)
        ledger = Ledger(tmp_path / "ledger", BITS)
        ledger.begin(files.items(), [], False, [notes])
        assert list(ledger.missing()) == list("acdef")
        ledger.close()


def test_a_line_of_another_form_is_passed_over(ledger, files, tmp_path):
    """Such that JSON, Python or NumPy would take, among two that are sound."""
    state = state_of(files["a"].stat())
    line = note(encoded("a", state, 1))
    strange = [
        *("7", "null", "{}", "[" * 10**5, line.replace('"a"', '["a"]'), line.replace('"a"', r'"\ud800"')),
        *(note(encoded("a", other, 1)) for other in ([], [1], [*state, 1], [1.5, 1], ["1", 1], [True, 1], [1, 1 << 63])),
        line.replace(f"{ord('a'):064x}", "digest"),
        *(line.replace('"outputs": "', f'"outputs": "{more}') for more in ("AA", "AAAA", 16 * "A", "é")),
        *(note(encoded("a", state, value)) for value in (np.inf, np.nan)),
        *('{"left_out": null}', '{"left_out": {"path": "a", "reason": "empty", "detail": 1}}'),
    ]
    notes, found = tmp_path / "notes.jsonl", note(encoded("b", state_of(files["b"].stat()), 2))
    notes.write_bytes("\n".join([*strange, found, ""]).encode() + line.encode().replace(b'"a"', b'"\xff"'))
    ledger.begin(files.items(), [], False, [])
    ledger.read([notes])
    assert list(ledger.missing()) == list("acdef")
    assert ledger.counts()["photos"] == 1
    assert ledger.left_out() == []


def test_paths_stand_in_the_order_of_python(ledger, tmp_path):
    names = ["\U0001f600", "é", "a/b", "a-b", "a", "\uffff", "Z", "a b", "\\xff"]
    ledger.begin(((name, Path(tmp_path)) for name in names), [], False, [])
    assert list(ledger.missing()) == sorted(names)


def test_nothing(ledger):
    ledger.begin([], [], False, [])
    assert list(ledger.missing()) == []
    assert list(ledger.rows()) == []
    assert ledger.counts() == {"photos": 0, "new": 0, "anew": 0, "gone": 0}
    assert ledger.left_out() == []
