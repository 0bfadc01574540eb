"""Figures between marks: by hand, marks that ask for what is not there, and the pages as they are committed."""

import json

import pandas as pd
import pytest

from bcdh_lib.comparison.tables import write_tables
from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.fill import fill
from bcdh_lib.study import find_root

TABLE = "Before.\n<!-- table differences: scoring=hamming; {shown} -->\nold\n<!-- end -->\nAfter.\n"
PAGES = sorted(path for place in ("*.md", "docs/*.md", "notebooks/*.ipynb") for path in find_root().glob(place))


@pytest.fixture
def root(tmp_path):
    rows = [("dsh", 16, "hamming", 0.1, "better"), ("dsh", 32, "hamming", -0.05, "undecided")]
    rows.append(("dch", 16, "cosine", 1.0, "better"))
    table = pd.DataFrame(rows, columns=["method", "bits", "scoring", "difference", "verdict"])
    small = pd.DataFrame({"scoring": ["hamming"], "bits": [16], "role": ["bcdh"], "method": ["binary_constrained"]})
    headline = small.assign(map=0.4, low=0.3, high=0.5, seeds=3)
    write_tables(
        tmp_path / "reports/study", {"differences.csv": table.assign(benchmark="one", question="itq"), "headline.csv": headline}
    )
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
    page = fill(TABLE.format(shown=shown), root)
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


@pytest.mark.parametrize("mark", [TABLE.format(shown="method nonesuch"), "<!--repro.steps.nonesuch:d--><!--end-->"])
def test_a_mark_that_asks_for_what_is_not_there_is_named(root, mark):
    with pytest.raises(StudyError, match=r"<!--.*nonesuch.*-->"):
        fill(mark, root)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_committed_pages_show_the_committed_tables(page):
    """If not: python -m bcdh_lib.report.fill"""
    assert fill(page.read_text(encoding="utf-8"), find_root()) == page.read_text(encoding="utf-8")
