"""The tables, by hand: means, shares, headline, ablations and the curve; and that reports/study holds what tables.json lists."""

import json
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace

import pandas as pd
import pytest

from bcdh_lib.comparison.pieces import Result
from bcdh_lib.comparison.summary import KEYS, headline, means, summarise_study
from bcdh_lib.comparison.tables import ABOUT, read_tables, write_tables
from bcdh_lib.study import find_root


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
    """Stands for a finished run."""

    method: str
    bits: int | None
    seed: int
    ap: float
    facts: dict = field(default_factory=dict)

    @property
    def vectors(self):
        history = pd.DataFrame({"round": [0], "loss": [0.0], "quantization": [0.0], "validation_map": [0.5]})
        return SimpleNamespace(read=lambda: Result(history, {"models": 160}))

    def read(self):
        return Result(rows(self.method, self.bits, self.seed, self.ap, "hamming" if self.bits else "cosine"), self.facts)


def labelled(experiment, variant, *run):
    return SimpleNamespace(experiment=experiment, variant=variant, run=MadeRun(*run))


def runs():
    row = {"round": 0, "loss": 1.0, "quantization": 0.5, "validation_map": 0.5}
    trained = {"statistics": {"imbalance": 0.25}, "history": [row]}
    for seed in (1, 2):
        yield labelled("comparison", "", "float", None, seed, 0.8)
        yield labelled("comparison", "", "itq", 16, seed, 0.4)
        yield labelled("comparison", "", "dsh", 16, seed, 0.48, trained)
        yield labelled("comparison", "", "dch", 16, seed, 0.44, trained)
        yield labelled("comparison", "", "binary_constrained", 16, seed, 0.56 + 0.04 * seed, trained)
    yield labelled("ablations", "hinge", "binary_constrained", 16, 1, 0.5)
    yield labelled("models", "44", "float", None, 1, 0.6)
    yield labelled("models", "44", "binary_constrained", 16, 1, 0.3)
    yield labelled("models", "44", "itq", 16, 1, 0.2)
    yield labelled("models", "44", "dsh", 16, 1, 0.1)
    yield labelled("models", "44", "dch", 16, 1, 0.25)


def test_means_by_hand():
    table = means(pd.concat([rows("float", None, 1, 0.8, "cosine"), rows("itq", 16, 1, 0.4), rows("itq", 16, 2, 0.2)]), KEYS)
    itq = table[table["method"] == "itq"].iloc[0]
    assert (itq["seeds"], itq["map"], itq["share_of_float"]) == pytest.approx((2, 0.225, 0.375))
    assert itq["low"] == pytest.approx(0.15)  # both draws are the second seed
    assert itq["high"] == pytest.approx(0.3)


def test_every_table_by_hand():
    tables = summarise_study(list(runs()))
    best = tables["headline.csv"].set_index("role")
    assert best["method"].to_dict() == {
        "bcdh": "binary_constrained",
        "best_other_loss": "dsh",
        "itq": "itq",
        "float_baseline": "float",
    }
    assert best["map"].tolist() == pytest.approx([0.465, 0.36, 0.3, 0.6])
    assert best.loc["bcdh", "share_of_float"] == pytest.approx(0.465 / 0.6)
    one = tables["benchmarks.csv"].set_index(["benchmark", "method"])["share_of_float"]
    assert one["one", "dsh"] == pytest.approx(0.6)
    ablation = tables["ablations.csv"].set_index(["ablation", "benchmark"])
    assert ablation.loc[("reference", "mean"), "map"] == pytest.approx(0.45)  # of the ablation's own seed
    assert ablation.loc[("hinge", "mean"), "difference"] == pytest.approx(-0.075)
    assert ablation.loc[("hinge", "one"), "verdict"] == "worse"
    curve = tables["models.csv"].set_index(["method", "models"])["map"]
    assert curve[["binary_constrained", "float"]].to_dict() == pytest.approx(
        {
            ("binary_constrained", 44): 0.225,
            ("binary_constrained", 160): 0.45,
            ("float", 44): 0.45,
            ("float", 160): 0.6,
        }
    )
    gains = tables["models_differences.csv"].set_index(["models", "against"])
    assert gains["method"].to_dict() == {(44, "itq"): "itq", (44, "best_other_loss"): "dch"} | {
        (160, "itq"): "itq",
        (160, "best_other_loss"): "dsh",
    }
    assert gains["difference"].tolist() == pytest.approx([0.075, 0.0375, 0.15, 0.09])
    assert tables["bits.csv"]["imbalance"].tolist() == [0.25] * 3
    assert set(tables["history.csv"]["method"]) == {"float", "dsh", "dch", "binary_constrained"}
    assert tables.keys() <= ABOUT.keys()


def test_headline_without_a_method_leaves_its_row_out():
    table = means(pd.concat([rows("float", None, 1, 0.8, "cosine"), rows("itq", 16, 1, 0.4)]), KEYS)
    assert headline(table)["role"].tolist() == ["itq", "float_baseline"]


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


def test_every_committed_table_has_a_command():
    """And every table that tables.json lists is committed."""
    root = find_root()
    listed = subprocess.run(["git", "-C", root, "ls-files", "reports/study"], capture_output=True, text=True, check=True).stdout
    committed = {line.rsplit("/", 1)[-1] for line in listed.splitlines()}
    assert committed == {"tables.json", *json.loads((root / "reports/study/tables.json").read_text())}
