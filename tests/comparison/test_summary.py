"""The tables, by hand: means, headline, training end to end, ablations, the curve, bits, one run's metrics; what is written."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison.bit_statistics import bit_statistics
from bcdh_lib.comparison.metrics import verdict, write_metrics
from bcdh_lib.comparison.pieces import Result
from bcdh_lib.comparison.summary import KEYS, against_others, headline, means, summarise_study
from bcdh_lib.comparison.tables import ABOUT, read_tables, write_tables
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import code_outputs
from bcdh_lib.retrieval.score import score_codes
from bcdh_lib.retrieval.systems import System


def rows(method, bits, seed, ap, scoring="hamming"):
    """Two benchmarks: `one` with AP `ap`, `two` with half of it, two places each; and a query without positives."""
    return pd.DataFrame(
        [
            {"benchmark": name, "method": method, "bits": bits, "seed": seed, "scoring": scoring}
            | {"query": f"q{k}", "group": f"p{k}", "positives": int(k < 2), "ap": value if k < 2 else float("nan")}
            for name, value in (("one", ap), ("two", ap / 2))
            for k in range(3)
        ]
    ).astype({"bits": "Int32"})


@dataclass
class MadeRun:
    experiment: str
    variant: str
    method: str
    bits: int | None
    seed: int
    ap: float
    facts: dict = field(default_factory=lambda: {"statistics": {"imbalance": 0.25}, "kept": True})
    vectors = SimpleNamespace(read=lambda: Result(pd.DataFrame(), {"models": 160}))

    @property
    def end_to_end(self):
        return self.experiment == "end_to_end" and not self.variant

    def read(self):
        return Result(rows(self.method, self.bits, self.seed, self.ap, "hamming" if self.bits else "cosine"), self.facts)


def runs():
    for seed in (1, 2):
        yield MadeRun("comparison", "", "float", None, seed, 0.8)
        for method, ap in (("itq", 0.4), ("dsh", 0.48), ("dch", 0.44), ("binary_constrained", 0.56 + 0.04 * seed)):
            yield MadeRun("comparison", "", method, 16, seed, ap)
    yield MadeRun("ablations", "hinge", "binary_constrained", 16, 1, 0.5)
    for method, bits, ap in (("float", None, 0.6), ("binary_constrained", 16, 0.3), ("itq", 16, 0.2), ("dsh", 16, 0.1)):
        yield MadeRun("models", "44", method, bits, 1, ap)
    yield MadeRun("models", "44", "dch", 16, 1, 0.25)
    yield MadeRun("end_to_end", "longer_baseline", "float", None, 1, 0.9)
    for method, control, whole in (("binary_constrained", 0.62, 0.7), ("dsh", 0.5, 0.46)):
        yield MadeRun("end_to_end", "longer_baseline", method, 16, 1, control)
        yield MadeRun("end_to_end", "", method, 16, 1, whole)


@pytest.fixture(scope="module")
def tables():
    return summarise_study(list(runs()))


def test_means_by_hand():
    table = means(pd.concat([rows("float", None, 1, 0.8, "cosine"), rows("itq", 16, 1, 0.4), rows("itq", 16, 2, 0.2)]), KEYS)
    itq = table[table["method"] == "itq"].iloc[0]
    assert (itq["seeds"], itq["map"], itq["share_of_float"]) == pytest.approx((2, 0.225, 0.375))
    assert itq["low"] == pytest.approx(0.15)  # both draws are the second seed
    assert itq["high"] == pytest.approx(0.3)


def test_the_comparison_by_hand(tables):
    best = tables["headline.csv"].set_index("role")
    assert best["method"].tolist() == ["binary_constrained", "dsh", "itq", "float"]
    assert best["map"].tolist() == pytest.approx([0.465, 0.36, 0.3, 0.6])
    assert best.loc["bcdh", "share_of_float"] == pytest.approx(0.465 / 0.6)
    one = tables["benchmarks.csv"].set_index(["benchmark", "method"])["share_of_float"]
    assert one["one", "dsh"] == pytest.approx(0.6)
    assert tables["bits.csv"]["imbalance"].tolist() == [0.25] * 4
    assert tables.keys() <= ABOUT.keys()


def test_training_end_to_end_by_hand(tables):
    """Seed 1 alone: BCDH .6 -> .7, control .62; DSH .48 -> .46, control .5; times .75, the mean of the two benchmarks."""
    found = tables["end_to_end.csv"].set_index(["training", "method"])
    assert found.loc[("end_to_end", "binary_constrained"), ["map", "share_of_float"]].tolist() == pytest.approx([0.525, 0.875])
    assert found.loc[("longer_baseline", "float"), "map"] == pytest.approx(0.675)
    assert found["kept"].dropna().to_dict() == {("end_to_end", "binary_constrained"): 1, ("end_to_end", "dsh"): 1}
    asked = tables["end_to_end_differences.csv"]
    asked = asked[asked["benchmark"] == "mean"].set_index(["question", "method"])["difference"].to_dict()
    bcdh = {("layer", "binary_constrained"): 0.075, ("longer_baseline", "binary_constrained"): 0.06}
    dsh = {("layer", "dsh"): -0.015, ("longer_baseline", "dsh"): -0.03}
    assert asked == pytest.approx(bcdh | dsh | {("other_losses", "dsh"): 0.18, ("itq", "itq"): 0.225})


def test_ablations_by_hand(tables):
    ablation = tables["ablations.csv"].set_index(["ablation", "benchmark"])
    assert ablation.loc[("reference", "mean"), "map"] == pytest.approx(0.45)  # of the ablation's own seed
    assert ablation.loc[("hinge", "mean"), ["map", "difference"]].tolist() == pytest.approx([0.375, -0.075])
    assert ablation.loc[("hinge", "one"), "verdict"] == "worse"


def test_the_curve_over_models_by_hand(tables):
    curve = tables["models.csv"].set_index(["models", "method"])["map"]
    assert curve[44][["binary_constrained", "float"]].tolist() == pytest.approx([0.225, 0.45])
    assert curve[160][["binary_constrained", "float"]].tolist() == pytest.approx([0.45, 0.6])
    gains = tables["models_differences.csv"].set_index(["models", "against"])
    assert gains["method"].tolist() == ["itq", "dch", "itq", "dsh"]
    assert gains["difference"].tolist() == pytest.approx([0.075, 0.0375, 0.15, 0.09])


def test_a_method_that_is_not_there_leaves_its_row_out():
    queries = pd.concat([rows("float", None, 1, 0.8, "cosine"), rows("itq", 16, 1, 0.4), rows("dsh", 32, 1, 0.4)])
    assert headline(means(queries, KEYS))["role"].tolist() == ["itq", "best_other_loss", "float_baseline"]
    assert not list(against_others(queries))


def test_tables_are_listed_read_back_and_nothing_else_stays(tmp_path):
    folder = tmp_path / "reports/study"
    made = {"mean.csv": pd.DataFrame({"bits": [16, None], "map": [0.5, 0.25]}), "chosen.json": {"dsh": {"number": 1}}}
    assert read_tables(tmp_path) == {}
    write_tables(folder, made)
    (folder / "old.csv").touch()
    write_tables(folder, {"mean.csv": made["mean.csv"]}, prefix="real_")
    assert {path.name for path in folder.iterdir()} == {"mean.csv", "chosen.json", "real_mean.csv", "tables.json"}
    assert set(json.loads((folder / "tables.json").read_text())) == {"mean.csv", "chosen.json", "real_mean.csv"}
    found = read_tables(tmp_path)
    assert found["mean"]["bits"].isna().tolist() == [False, True]
    assert found["chosen"] == made["chosen.json"]
    assert list(read_tables(tmp_path, "real_")) == ["mean"]


def test_statistics_of_bits_by_hand():
    """Four photos of two groups, 8 bits: bit 0 tells the groups apart, bit 1 is its opposite, the others never change."""
    outputs = np.full((4, 8), 2.0, dtype=np.float32)
    outputs[:2, 0] = outputs[2:, 1] = -2
    bits = {"frozen_bits": 6 / 8, "imbalance": 6 / 8, "correlation": 1, "quantization": 1}
    distances = {"similar_distance": 0, "dissimilar_distance": 2 / 8, "inside_margin": 1}
    assert bit_statistics(outputs, np.array([0, 0, 1, 1])) == pytest.approx(bits | distances)


def test_one_photo_and_bits_that_never_change():
    found = bit_statistics(np.ones((1, 8), dtype=np.float32), np.array([0]))
    assert found["frozen_bits"] == 1
    assert np.isnan([found[name] for name in ("correlation", "similar_distance", "dissimilar_distance")]).all()


def test_verdict_compares_plain_figures():
    plain = [("binary_constrained", 64, "hamming", 0.5), ("dsh", 64, "hamming", 0.6), ("itq", 64, "hamming", 0.4)]
    others = [("binary_constrained", 64, "asymmetric", 0.8), ("itq", 64, "asymmetric", 0.9), ("float", None, "cosine", 0.7)]
    table = pd.DataFrame(plain + others, columns=["method", "bits", "scoring", "map"])
    sentence = verdict(table.assign(benchmark="b").astype({"bits": "Int32"}), 64)
    assert "number 2 of 3" in sentence
    assert "float 0.700" in sentence


def test_the_metrics_file_is_of_the_form_that_the_site_reads(study, tmp_path):
    """From the table on disk, where code lengths and nulls share a column, to metrics.json and its strict reader."""
    for name in ("photos", "left_out"):
        write_table(study.photos, name, TABLES[name].schema.empty_table().to_pandas())
    write_bytes(study.reconstruction / "summary.json", b'{"models": 2, "registered": 9}')
    write_bytes(study.pairs / "summary.json", b'{"similar_pairs": 5, "dissimilar_pairs": 7}')
    benchmark = Benchmark("made_up", {"a": tmp_path, "b": tmp_path}, [Query("q", "a", None, frozenset("b"), frozenset("a"))])
    outputs, systems = np.ones((2, 8), np.float32), (System("dsh", 8), System("float", None))
    tables = [score_codes(study, benchmark, each, code_outputs(outputs[:1], outputs, each.bits)) for each in systems]
    write_table(study.reports, "queries", pd.concat(tables))
    write_metrics(study)
    metrics = json.loads((study.reports / "metrics.json").read_text())
    assert {(score["method"], score["bits"]) for score in metrics["retrieval"]} == {("dsh", 8), ("float", None)}
    assert metrics["counts"]["models"] == 2
