"""The comparison over seeds, as figures."""

import pandas as pd

from bcdh_lib.report.figures import comparison


def test_differences_and_their_sentence(printed):
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


def test_ablations(printed):
    rows = [("no_batch_norm", 64, -0.1, -0.2, -0.05, "worse"), ("reference", 64, 0, 0, 0, "undecided")]
    table = pd.DataFrame(rows, columns=["ablation", "bits", "difference", "low", "high", "verdict"])
    figure, alt = printed(comparison.differences, table, what="ablation")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["no batch norm"]
    assert "1 are significant" in alt


def test_a_study_that_never_ran_has_empty_tables_that_can_be_drawn(printed, tmp_path):
    tables = comparison.study_tables(tmp_path, "real_")
    assert all(table.empty for table in tables.values())
    printed(comparison.differences, tables["differences"])
