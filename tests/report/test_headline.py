"""The small table of the first page and the README, by hand, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.headline import Cell, headline, markdown, read_counts, read_csv

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
    """Real vectors have one figure for all lengths; the best code is of symmetric codes alone; recentred codes are not shown."""
    table = headline(TABLE)
    assert (table.seeds, table.lengths) == (3, [16, 64])
    assert [(row.label, row.own) for row in table.rows] == [
        ("BCDH", True),
        ("BCDH, asymmetric distance", True),
        ("Best other loss", False),
        ("ITQ", False),
        ("Float baseline", False),
    ]
    own, asymmetric, other, itq, real = (row.cells for row in table.rows)
    assert own == [Cell("0.400", "0.380 to 0.420", "", best=True), Cell("0.450", "", "", best=False)]
    assert other == [Cell("0.300", "0.250 to 0.350", "DSH", best=False), Cell("0.500", "0.480 to 0.520", "DCH", best=True)]
    assert itq[1] is None
    assert [cell.map for cell in real if cell] == ["0.700", "0.700"]
    assert not any(cell.best for cell in (*asymmetric, *real) if cell)


def test_the_readmes_table_and_sentences() -> None:
    rows = [("other_losses", verdict) for verdict in ("better", "undecided", "worse")] + [("shallow_codes", "better")]
    differences = pd.DataFrame(rows, columns=["question", "verdict"]).assign(benchmark="mean", scoring="hamming")
    table, about = markdown(TABLE, differences).split("\n\n")
    assert table.splitlines()[0] == "| mAP | 16 bits | 64 bits |"
    assert table.splitlines()[2] == "| **BCDH** | **0.400** | 0.450 |"
    assert "**0.500** (DCH)" in table
    assert "significantly better in 1 of 3 comparisons and worse in 1" in about
    assert "significantly better in 1 of 1 comparisons and worse in none" in about


def test_counts_come_in_the_pipelines_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"counts": {"flat_tyres": 2, "pairs": 9, "photos": 4}, "retrieval": []}))
    assert read_counts(path) == [("photos", 4), ("similar pairs", 9)]


@pytest.mark.parametrize("content", [None, "", "{", "[]", {"counts": {"photos": "four"}}, {"counts": [4]}])
def test_damaged_metrics_are_named_in_one_line(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StudyError, match="dvc repro") as raised:
        read_counts(tmp_path / "metrics.json")
    assert "\n" not in str(raised.value)


def test_a_table_that_is_missing_or_damaged(tmp_path: Path) -> None:
    assert read_csv(tmp_path / "mean.csv") is None
    (tmp_path / "mean.csv").write_bytes(b"")
    with pytest.raises(StudyError, match=r"mean\.csv: cannot be read .*git checkout"):
        read_csv(tmp_path / "mean.csv")
