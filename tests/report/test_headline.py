"""Results in the pages' text, by hand: the small table, sentences, and figures between marks."""

import json
import re

import pandas as pd
import pytest

from bcdh_lib.comparison.tables import write_tables
from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.fill import fill
from bcdh_lib.report.headline import Cell, headline_rows, small_table, verdicts, with_roles
from bcdh_lib.study import find_root

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
    assert [list(roles) for roles in table.rows.values()] == [["BCDH", "Best other loss", "ITQ"], ["BCDH"], ["Float baseline"]]
    hamming, asymmetric, real = table.rows.values()
    assert hamming["BCDH"] == [Cell("0.400", "0.380–0.420", "", best=True), Cell("0.450", "", "", best=False)]
    losses = [Cell("0.300", "0.250–0.350", "DSH", best=False), Cell("0.500", "0.480–0.520", "DCH", best=True)]
    assert hamming["Best other loss"] == losses
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


def test_codes_trained_end_to_end_have_rows_of_their_own() -> None:
    """Those of end_to_end.csv that are trained end to end; the layer alone and the control are left out."""
    rows = [(training, 64, "binary_constrained", 0.6) for training in ("layer", "end_to_end", "longer_baseline")]
    table = pd.DataFrame([*rows, ("end_to_end", 64, "dch", 0.7)], columns=["training", "bits", "method", "map"])
    tables = {"headline": TABLE, "end_to_end": table.assign(scoring="hamming", seeds=3, low=0.5, high=0.8)}
    hamming = small_table(headline_rows(tables)).rows["Hamming distance"]
    assert hamming["BCDH, end to end"] == [None, Cell("0.600", "0.500–0.800", "", best=False)]
    assert hamming["Best other loss, end to end"] == [None, Cell("0.700", "0.500–0.800", "DCH", best=True)]
    assert small_table(headline_rows({"headline": TABLE})) == small_table(TABLE)


def test_what_the_comparison_says() -> None:
    rows = [("other_losses", verdict) for verdict in ("better", "undecided", "worse")] + [("shallow_codes", "better")]
    differences = pd.DataFrame(rows, columns=["question", "verdict"]).assign(benchmark="mean", scoring="hamming")
    losses, shallow = (re.findall(r"\d+|none", sentence) for sentence in verdicts({"differences": differences}))
    assert (losses, shallow) == (["1", "3", "1"], ["1", "1", "none"])
    whole = differences.assign(question=["other_losses", "layer", "longer_baseline", "itq"])  # BCDH against others: two of them
    assert len(verdicts({"end_to_end_differences": whole})) == 2
    assert verdicts({}) == []


MARKED = "Before.\n<!-- table differences: scoring=hamming; {shown} -->\nold\n<!-- end -->\nAfter.\n"
PAGES = sorted(path for place in ("*.md", "docs/*.md", "notebooks/*.ipynb") for path in find_root().glob(place))


@pytest.fixture
def root(tmp_path):
    rows = [("dsh", 16, "hamming", 0.1, "better"), ("dsh", 32, "hamming", -0.05, "undecided")]
    rows.append(("dch", 16, "cosine", 1.0, "better"))
    table = pd.DataFrame(rows, columns=["method", "bits", "scoring", "difference", "verdict"])
    small = pd.DataFrame({"scoring": ["hamming"], "bits": [16], "role": ["bcdh"], "method": ["binary_constrained"]})
    headline = small.assign(map=0.4, low=0.3, high=0.5, seeds=3)
    differences = table.assign(benchmark="one", question="itq")
    write_tables(tmp_path / "reports/study", {"differences.csv": differences, "headline.csv": headline})
    (tmp_path / "reports/repro.json").write_text(json.dumps({"minutes": 9.4, "steps": {"a": {"s": 1}, "b": {"s": 2}}}))
    (tmp_path / "reports/network.csv").write_text("name,map\nx,0.25\ny,0.5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("shown", "lines"),
    [
        (
            "method bits difference",
            ["| method | bits | difference |", "| --- | --- | --- |", "| DSH | 16 | 0.100 |", "| DSH | 32 | -0.050 |"],
        ),
        ("method x bits: difference", ["| method | 16 | 32 |", "| --- | --- | --- |", "| DSH | **0.100** | -0.050 |"]),
    ],
)
def test_tables_by_hand_and_again(root, shown, lines):
    page = fill(MARKED.format(shown=shown), root)
    assert [line for line in page.splitlines() if line.startswith("|")] == lines
    assert "old" not in page
    assert page.startswith("Before.")
    assert page.endswith("After.\n")
    assert fill(page, root) == page


def test_a_table_of_reports_and_one_that_no_run_made(root):
    page = fill("<!-- table network: name=y; name map --><!-- end -->", root)
    assert page.split("\n\n")[1].splitlines()[2:] == ["| y | 0.500 |"]
    assert "not run yet" in fill("<!-- table absent: ; name map --><!-- end -->", root)


@pytest.mark.parametrize(
    ("mark", "figure"),
    [
        ("repro.minutes:.0f", "9"),
        ("repro.steps.*.s:d", "3"),
        ("network.1.map:.2f", "0.50"),
        ("nothing.yet:d", "old"),
        ("repro.new.s:d", "old"),
    ],
)
def test_values_by_hand(root, mark, figure):
    """A remark is no mark, and what was never measured stays."""
    text = "<!-- a remark --> <!--{mark}-->{figure}<!--end--> and <!--{mark}-->{figure}<!--end-->"
    assert fill(text.format(mark=mark, figure="old"), root) == text.format(mark=mark, figure=figure)


def test_the_headline_by_hand(root):
    lines = fill("<!-- headline -->old<!-- end -->", root).splitlines()
    assert lines[2:5] == ["| mAP | 16 bits |", "| --- | --- |", "| **BCDH** | **0.400** |"]


@pytest.mark.parametrize("mark", [MARKED.format(shown="method nonesuch"), "<!--repro.steps.nonesuch:d--><!--end-->"])
def test_a_mark_that_asks_for_what_is_not_there_is_named(root, mark):
    with pytest.raises(StudyError, match=r"<!--.*nonesuch.*-->"):
        fill(mark, root)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_committed_pages_show_the_committed_tables(page):
    """If not: python -m bcdh_lib.report.fill"""
    assert fill(page.read_text(encoding="utf-8"), find_root()) == page.read_text(encoding="utf-8")
