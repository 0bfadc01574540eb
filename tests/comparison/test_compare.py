"""A study over seeds: its plan and tuning, pieces of work, and a tiny one end to end; resumed equals undisturbed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from bcdh_lib.comparison import compare as module
from bcdh_lib.comparison.compare import best_rates, compare
from bcdh_lib.comparison.pieces import Piece, Result, do_all
from bcdh_lib.comparison.plan import Interval, changed, choose, draw_configurations, load_plan, nearest
from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import Study, find_root, open_study
from tests.helpers import contents, refused

COMMITTED = find_root() / "study.yaml"


def test_the_studys_own_plan_tunes_all_equally(params):
    """The owner's rule: at least 20 configurations a method, among them the rate over .001 to .1 of the layer's deviation."""
    plan = load_plan(COMMITTED)
    assert plan.tuning.configurations >= 20
    for method in plan.methods:
        rate = plan.tuning.ranges[method]["learning_rate"]
        assert rate.low <= 0.001 < 0.1 <= rate.high
        for configuration in draw_configurations(plan.tuning, method):
            changed(params, {f"losses.{method}": configuration})  # every one is a valid setting


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"methods": ["nonesuch"]}, "nonesuch"),
        ({"shallow": ["nonesuch"]}, "nonesuch"),
        ({"bits": [12]}, "bits"),
        ({"unknown": 1}, "unknown"),
        ({"methods": ["dsh"]}, "tuning.ranges"),
        ({"seeds": [99]}, "end_to_end"),
    ],
)
def test_a_wrong_plan_fails_in_one_line(tmp_path, change, fault):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(COMMITTED.read_text()) | change))
    with refused(fault):
        load_plan(path)
    path.write_bytes(b"\xff{")
    with pytest.raises(StudyError, match=r"study\.yaml"):
        load_plan(path)


def test_draws_depend_on_the_method_alone_and_stay_in_range():
    tuning = load_plan(COMMITTED).tuning
    alone = tuning.model_copy(update={"ranges": {"dsh": tuning.ranges["dsh"]}})
    drawn = draw_configurations(tuning, "dsh")
    assert drawn == draw_configurations(alone, "dsh")
    assert all(0.001 <= each["learning_rate"] <= 0.1 for each in drawn)
    assert len({json.dumps(each) for each in drawn}) == tuning.configurations
    values = [Interval(low=1.0, high=100.0, scale="log").draw(np.random.default_rng(k)) for k in range(200)]
    assert 60 < sum(value < 10 for value in values) < 140  # half of them below the geometric mean


def test_choose_by_hand():
    """At 32 bits the second is best, at 128 the first of equals, since the third diverged; each length takes the nearest's."""
    values = {32: (0.2, 0.5, 0.4), 128: (0.6, 0.6, np.nan)}
    trials = pd.DataFrame(
        {"method": "a", "number": number, "bits": bits, "configuration": json.dumps({"x": number}), "validation_map": value}
        for bits, row in values.items()
        for number, value in enumerate(row)
    )
    chosen = choose(trials)
    assert {bits: best["number"] for bits, best in chosen["a"].items()} == {32: 1, 128: 0}
    assert [nearest(chosen, "a", bits)["x"] for bits in (16, 32, 64, 72, 256)] == [1, 1, 1, 0, 0]
    with pytest.raises(StudyError, match="diverged"):
        choose(trials[trials["validation_map"].isna()])


def test_an_unknown_setting_is_refused(params):
    with pytest.raises(StudyError, match="nonesuch"):
        changed(params, {"losses.dsh": {"nonesuch": 1.0}})
    with pytest.raises(StudyError, match="rounds"):
        changed(params, {"training.hash_layer": {"rounds": 0}})


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


METHODS = ["binary_constrained", "dsh"]
RATES = {"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}}
PLAN = {
    "changes": {},
    "methods": METHODS,
    "shallow": ["itq", "lsh"],
    "bits": [16],
    "seeds": [1, 2],
    "tuning": {"configurations": 2, "seed": 5, "bits": [16], "rounds": 1, "ranges": dict.fromkeys(METHODS, RATES)},
    "end_to_end": {
        "bits": [16],
        "seeds": [2],
        "settings": {"rounds": 1, "steps_per_round": 1, "photos": 16, "places": 6},
        "learning_rates": [1e-4, 1e-3],
    },
    "ablations": {
        "bits": [16],
        "seeds": [1],
        "changes": {"rate": {"loss": {"learning_rate": 0.05}}, "clusters": {"supply": {"source": "clusters", "wrong": 0.2}}},
    },
    "models": {"counts": [4], "methods": ["binary_constrained"], "bits": [16], "seeds": [1]},
}


@pytest.fixture
def root(tmp_path, params, write_collection, draw_photo):
    """A study of eight places, two of them held apart, and a benchmark of Holidays' form with three other places."""
    small = {
        "training.float_baseline": {"rounds": 1, "steps_per_round": 1, "tuples": 2, "negatives": 1},
        "training.hash_layer": {"rounds": 1, "steps_per_round": 2, "places": 6},
        "retrieval": {"benchmarks": ["tiny"], "own_benchmarks": {"tiny": "holidays"}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed(params, small).model_dump(mode="json")))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(PLAN))
    study = Study(tmp_path, open_study(root=tmp_path).params)
    write_collection(study, ["train"] * 6 + ["validation"] * 2)
    for number in range(9):
        draw_photo(study.benchmarks / f"tiny/jpg/{100000 + 100 * (number // 3) + number % 3}.jpg", 40 + number)
    return tmp_path


def test_a_study_resumed_equals_one_undisturbed(root, monkeypatch):
    monkeypatch.setattr(module, "make_collection", lambda study: None)
    folder = root / "reports/study"
    compare(root, folder)
    tables = read_tables(root)
    assert set(tables["headline"]["role"]) == {"bcdh", "best_other_loss", "itq", "float_baseline"}
    assert set(tables["mean"]["scoring"]) == {"hamming", "recentred", "asymmetric", "cosine"}
    assert {"pretrained", "whitened", "lsh"} <= set(tables["mean"]["method"])
    assert tables["models"]["models"].unique().tolist() == [4, 6]
    assert set(tables["ablations"]["ablation"]) == {"reference", "rate", "clusters"}
    assert len(tables["trials"]) == 4
    assert tables["end_to_end_rates"]["learning_rate"].tolist() == [1e-4] * 3 + [1e-3] * 3
    assert set(tables["end_to_end"]["training"]) == {"layer", "end_to_end", "longer_baseline"}
    assert set(tables["end_to_end_differences"]["question"]) == {"layer", "longer_baseline", "other_losses", "itq"}
    first = contents(folder)
    pieces = sorted((root / "work/study").rglob("*.parquet"))
    compare(root, folder)
    assert contents(folder) == first
    for piece in pieces[::2]:  # as if the study had been killed before these
        piece.unlink()
    compare(root, folder)
    assert sorted((root / "work/study").rglob("*.parquet")) == pieces
    assert contents(folder) | {"provenance.json": b""} == first | {"provenance.json": b""}  # its minutes may differ


@pytest.mark.parametrize(("validated", "best"), [([0.2, 0.3], 2e-4), ([0.3, 0.3], 1e-4), ([float("nan"), 0.1], 2e-4)])
def test_the_best_rate_is_that_of_the_best_validation(validated, best):
    """Of equals the first; one that diverged is never the best."""
    tried = pd.DataFrame({"method": "dsh", "bits": 16, "learning_rate": [1e-4, 2e-4], "validation_map": validated})
    float_first = pd.DataFrame({"method": "float", "bits": [None], "learning_rate": [1e-4], "validation_map": [0.5]})
    assert best_rates(pd.concat([tried, float_first])) == {("dsh", 16): best, ("float", None): 1e-4}
