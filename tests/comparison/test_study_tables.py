"""The committed tables of the comparison: whole, of one making, and named with the mend where one is not there."""

import json
import shutil

import pandas as pd
import pytest

from bcdh_lib.comparison.cells import RECENTRED
from bcdh_lib.comparison.matrix import load_plan
from bcdh_lib.comparison.study_tables import READ, from_parent_told, larger_pile_told, read_study, told
from bcdh_lib.comparison.summary import against, mean_over_benchmarks, summarise_cells
from bcdh_lib.comparison.tuning import choose, draw_configurations
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_parquet
from bcdh_lib.params import load_params
from bcdh_lib.retrieval.score import OURS
from bcdh_lib.study import Study, find_root


@pytest.fixture
def committed(tmp_path):
    """A study that has the committed tables alone."""
    shutil.copytree(find_root() / "reports/study", tmp_path / "reports/study")
    return Study(tmp_path, load_params(find_root() / "params.yaml"))


def test_the_tables_are_of_one_making(committed):
    """mAP and seeds in summary.csv and mean.csv, counted anew from every query's average precision."""
    tables = read_study(committed)
    assert set(tables) == {*READ, "queries"}
    queries = tables["queries"]
    ours = queries[(queries["method"] == OURS) & (queries["positives"] > 0)]
    by_benchmark = ours.groupby(["bits", "seed", "benchmark"])["ap"].mean()
    summary = tables["summary"].set_index(["method", "bits", "benchmark"]).loc[OURS]
    mean = tables["mean"][tables["mean"]["method"] == OURS].set_index("bits")
    for bits in mean.index:
        assert mean.loc[bits, "map"] == pytest.approx(by_benchmark[bits].groupby("seed").mean().mean(), abs=1e-6)
        for benchmark, value in by_benchmark[bits].groupby("benchmark").mean().items():
            assert summary.loc[(bits, benchmark), "map"] == pytest.approx(value, abs=1e-6)
    assert (queries.groupby(["method", "bits"], dropna=False)["seed"].nunique() == mean["seeds"].max()).all()


def test_told_of_what_it_was_made(committed):
    said = told(committed)
    assert said.startswith("8 trained methods at 16, 32, 64, 128 bits with ")
    assert "tuned by 20 random configurations with 2 seeds" in said
    assert max(map(len, said.splitlines())) < 120


def test_told_of_the_start_from_the_parent():
    """By hand: two losses at 8 bits, of which one validates better after training than before, and a shallow code."""
    parent = pd.DataFrame(
        {"method": [OURS, "dsh", "itq", "float"], "bits": [8, 8, 8, None], "seeds": 2, "map": [0.5, 0.4, 0.45, 0.9]}
    ).astype({"bits": "Int32"})
    history = pd.DataFrame({"method": [OURS, OURS, "dsh", "dsh"], "bits": 8, "validation_map": [0.3, 0.35, 0.3, 0.2]})
    said = from_parent_told({"from_parent": parent, "from_parent_history": history}).splitlines()
    assert said == [
        "mAP, mean over the benchmarks and 2 seeds.",
        f"8 bits: ours 0.500, losses 0.400 (dsh) to 0.500 ({OURS}), best shallow code 0.450 (itq); by training, validation rose "
        f"at most 0.050 ({OURS}), for ours 0.050.",
    ]


def test_told_of_the_larger_pile():
    """By hand: ours is second of two losses and behind a shallow code, and validates best after the first round."""
    larger = pd.DataFrame(
        {
            "method": [OURS, "dsh", "itq", "float"],
            "bits": [8, 8, 8, None],
            "seeds": 2,
            "map": [0.5, 0.55, 0.6, 0.9],
            **{"win": [None, 1, 0, None], "tie": [None, 2, 1, None], "loss": [None, 0, 2, None]},
        }
    ).astype({"bits": "Int32"})
    history = pd.DataFrame({"method": [OURS, OURS, "dsh"], "bits": 8, "round": [0, 1, 0], "validation_map": [0.3, 0.35, 0.3]})
    default = pd.DataFrame({"method": [OURS, OURS], "bits": [8, 16], "map": [0.4, 0.7]})
    said = larger_pile_told({"larger_pile": larger, "larger_pile_history": history, "mean": default}).splitlines()
    assert said == [
        "mAP, mean over the benchmarks and 2 seeds; the float parent 0.900.",
        f"8 bits: ours 0.500, losses 0.500 ({OURS}) to 0.550 (dsh), best shallow code 0.600 (itq); ours of the default pile "
        "0.400. Against all: 1 wins, 3 ties, 2 losses. Ours validates best after round 1.",
    ]


def test_the_tables_of_the_larger_pile_are_of_its_queries(committed):
    """Mean and verdicts, counted anew from every query's average precision."""
    folder = committed.reports / "study"
    queries = read_parquet(folder / "larger_pile_queries.parquet").to_pandas().astype({"bits": "Int32"})
    queries = queries[~queries["method"].str.endswith(RECENTRED)]
    compared = against(queries)
    for name, anew in (
        ("larger_pile_summary", summarise_cells(queries)),
        ("larger_pile_against", compared),
        ("larger_pile", mean_over_benchmarks(queries, compared)),
    ):
        assert anew.to_csv(index=False, float_format="%.6f") == (folder / f"{name}.csv").read_text()


def test_the_trials_of_the_larger_pile_are_those_of_its_plan(committed):
    """Every configuration of docs/larger_pile.yaml was tried, none beside them, and the best of each method chosen."""
    folder, plan = committed.reports / "study", load_plan(find_root() / "docs/larger_pile.yaml")
    trials = pd.read_csv(folder / "larger_pile_trials.csv", converters={"configuration": json.loads})
    assert set(trials["method"]) == {"float", *plan.methods}
    for method, rows in trials.groupby("method"):
        drawn = draw_configurations(plan.tuning, method)
        assert rows["configuration"].tolist() == [each for each in drawn for _ in plan.tuning.seeds]
        assert rows["seed"].tolist() == plan.tuning.seeds * plan.tuning.configurations
    chosen = json.loads((folder / "larger_pile_chosen.json").read_text())
    assert {method: best["number"] for method, best in choose(trials.to_dict("records")).items()} == {
        method: best["number"] for method, best in chosen.items()
    }


def test_a_table_that_is_not_there(committed):
    (committed.reports / "study/bits.csv").unlink()
    with pytest.raises(StudyError, match=r"bits\.csv: cannot be read .*git checkout, or run: make study"):
        read_study(committed)
