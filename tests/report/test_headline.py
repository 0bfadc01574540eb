"""The small table of the first page and the README, by hand, and damaged files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.headline import Cell, fill, markdown, read_counts, small_table, verdicts, with_roles

TABLE = pd.DataFrame(
    [
        ("hamming", 16, "bcdh", "binary_constrained", 0.40, 0.38, 0.42),
        ("hamming", 64, "bcdh", "binary_constrained", 0.45, 0.45, 0.45),
        ("asymmetric", 16, "bcdh", "binary_constrained", 0.50, 0.48, 0.52),
        ("asymmetric", 64, "bcdh", "binary_constrained", 0.60, 0.58, 0.62),
        ("hamming", 16, "best_other_loss", "dsh", 0.30, 0.25, 0.35),
        ("hamming", 64, "best_other_loss", "dch", 0.50, 0.48, 0.52),
        ("hamming", 16, "itq", "itq", 0.35, 0.33, 0.37),
        ("cosine", None, "float_baseline", "float", 0.70, 0.69, 0.71),
        ("recentred", 16, "bcdh", "binary_constrained", 0.99, 0.9, 1.0),
    ],
    columns=["scoring", "bits", "role", "method", "map", "low", "high"],
).assign(seeds=3)


def test_the_small_table_by_hand() -> None:
    """Real vectors have one figure for all lengths; the best code is one of its scoring; recentred codes are not shown."""
    table = small_table(TABLE)
    assert (table.seeds, table.lengths) == (3, [16, 64])
    assert [(len(scoring), list(roles)) for scoring, roles in table.rows.items()] == [
        (16, ["BCDH", "Best other loss", "ITQ"]),
        (19, ["BCDH"]),
        (12, ["Float baseline"]),
    ]
    hamming, asymmetric, real = table.rows.values()
    assert hamming["BCDH"] == [Cell("0.400", "0.380–0.420", "", best=True), Cell("0.450", "", "", best=False)]
    assert hamming["Best other loss"] == [
        Cell("0.300", "0.250–0.350", "DSH", best=False),
        Cell("0.500", "0.480–0.520", "DCH", best=True),
    ]
    assert hamming["ITQ"][1] is None
    assert [cell.map for cell in real["Float baseline"] if cell] == ["0.700", "0.700"]
    assert all(cell and cell.best for cell in asymmetric["BCDH"])


def test_roles_of_one_benchmarks_methods() -> None:
    """The best other loss is chosen for each scoring and length; shallow codes and untrained vectors are none."""
    losses, shallow = [("dsh", 16, 0.3), ("dch", 16, 0.4), ("dsh", 32, 0.5)], [("itq", 16, 0.6), ("lsh", 16, 0.9)]
    others = [("binary_constrained", 16, 0.2), ("float", None, 0.8), ("pretrained", None, 0.7)]
    table = pd.DataFrame([*losses, *shallow, *others], columns=["method", "bits", "map"])
    found = with_roles(table.assign(scoring="hamming")).set_index("role")
    assert found.loc["best_other_loss", "map"].tolist() == [0.4, 0.5]
    assert found["map"].drop("best_other_loss").to_dict() == {"bcdh": 0.2, "itq": 0.6, "float_baseline": 0.8}


def test_the_readmes_table_and_what_the_comparison_says() -> None:
    rows = [("other_losses", verdict) for verdict in ("better", "undecided", "worse")] + [("shallow_codes", "better")]
    differences = pd.DataFrame(rows, columns=["question", "verdict"]).assign(benchmark="mean", scoring="hamming")
    lines = markdown(TABLE, differences).splitlines()
    assert lines[0] == "| mAP | 16 bits | 64 bits |"
    assert lines[2] == "| **BCDH** | **0.400** | 0.450 |"
    assert "**0.500** (DCH)" in lines[3]
    losses, shallow = (re.findall(r"\d+|none", sentence) for sentence in verdicts(differences))
    assert (losses, shallow) == (["1", "3", "1"], ["1", "1", "none"])


def test_figures_go_between_their_marks_and_nowhere_else() -> None:
    text = "It takes <!-- minutes -->15<!-- /minutes --> minutes. <!-- table -->\nold\n<!-- /table --> <!-- a remark -->"
    filled = fill(text, {"minutes": "9", "unused": "1"})
    assert filled == text.replace("15", "9")
    assert fill(filled, {"table": "new"}) == filled.replace("\nold\n", "new")


def test_counts_come_in_the_pipelines_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"counts": {"flat_tyres": 2, "left_out": 0, "pairs": 9, "photos": 4}, "retrieval": []}))
    assert read_counts(path) == [("photos", 4), ("similar pairs", 9)]


@pytest.mark.parametrize("content", [None, "", "{", "[]", {"counts": {"photos": "four"}}, {"counts": [4]}])
def test_damaged_metrics_are_named_in_one_line(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StudyError, match="dvc repro") as raised:
        read_counts(tmp_path / "metrics.json")
    assert "\n" not in str(raised.value)
