"""The comparison over seeds, as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.report.figures import comparison

from .conftest import Printed

METHODS = {"binary_constrained": 0.5, "dsh": 0.45, "itq": 0.55, "a_new_loss": 0.2}


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        {"benchmark": name, "method": method, "bits": bits, "map": value + bits / 1000, "low": value - 0.1, "high": value + 0.2}
        for name in ("rendered_oxford", "rendered_paris")
        for method, value in METHODS.items()
        for bits in (16, 64)
    ]
    real = {"benchmark": "rendered_oxford", "method": "float", "bits": None, "map": 0.7, "low": 0.69, "high": 0.71}
    return pd.DataFrame([*rows, real]).astype({"bits": "Int32"})


def test_lines_against_bits_with_bands_for_bcdh_and_the_best_other(printed: Printed, table: pd.DataFrame) -> None:
    figure, alt = printed(comparison.map_by_bits, table)
    panel = figure.axes[0]
    assert any(np.allclose(line.get_ydata(), [0.516, 0.564]) for line in panel.lines)
    assert len(panel.collections) == 2  # BCDH and ITQ
    assert {"Float baseline", "A NEW LOSS"} <= {text.get_text() for text in panel.texts}
    assert "BCDH on Rendered Oxford from 0.516 to 0.564" in alt
    printed(comparison.map_by_bits, table.iloc[:0])


def test_lines_against_the_number_of_models(printed: Printed, table: pd.DataFrame) -> None:
    rows = pd.concat([table.assign(models=models, map=table["map"] + models / 1000) for models in (50, 100)])
    rows = rows[rows["benchmark"] == "rendered_oxford"]
    figure, alt = printed(comparison.map_by_models, rows)
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["16 bits", "64 bits"]
    own = figure.axes[0].lines[0]
    np.testing.assert_allclose(own.get_xydata(), [[50, 0.566], [100, 0.616]])
    assert "at 16 bits from 0.566 to 0.616" in alt
    printed(comparison.map_by_models, rows.iloc[:0])


def test_differences_and_their_sentence(printed: Printed) -> None:
    rows = [
        ("dsh", 16, 0.05, 0.01, 0.09, "better"),
        ("dsh", 64, -0.04, -0.06, -0.02, "worse"),
        ("itq", 16, 0, -0.1, 0.1, "undecided"),
    ]
    table = pd.DataFrame(rows, columns=["method", "bits", "difference", "low", "high", "verdict"])
    figure, alt = printed(comparison.differences, table)
    assert alt.endswith("BCDH is significantly better in 1 of 3 comparisons and worse in 1.")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ITQ", "DSH"]
    assert comparison.in_words(table[table["method"] == "itq"]).endswith("better in 0 of 1 comparisons and worse in none")
    printed(comparison.differences, table.iloc[:0])


def test_ablations(printed: Printed) -> None:
    rows = [("no_batch_norm", 64, -0.1, -0.2, -0.05, "worse"), ("reference", 64, 0, 0, 0, "undecided")]
    table = pd.DataFrame(rows, columns=["ablation", "bits", "difference", "low", "high", "verdict"])
    figure, alt = printed(comparison.differences, table, what="ablation")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["no batch norm"]
    assert "1 are significant" in alt
