"""The tables of docs/study.md: by hand, marks that ask for what is not there, and the page as it is committed."""

import pandas as pd
import pytest

from bcdh_lib.comparison.page import fill
from bcdh_lib.comparison.tables import write_tables
from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import find_root

PAGE = """Before.
<!-- table differences: scoring=hamming; {shown} -->
old
<!-- end -->
After.
"""


@pytest.fixture
def root(tmp_path):
    rows = [
        ("dsh", 16, "hamming", 0.1, "better"),
        ("dsh", 32, "hamming", -0.05, "undecided"),
        ("dch", 16, "cosine", 1.0, "better"),
    ]
    table = pd.DataFrame(rows, columns=["method", "bits", "scoring", "difference", "verdict"])
    write_tables(tmp_path / "reports/study", {"differences.csv": table})
    return tmp_path


@pytest.mark.parametrize(
    ("shown", "lines"),
    [
        (
            "method bits difference",
            ["| method | bits | difference |", "| --- | --- | --- |", "| dsh | 16 | 0.100 |", "| dsh | 32 | -0.050 |"],
        ),
        ("method x bits: difference", ["| method | 16 | 32 |", "| --- | --- | --- |", "| dsh | **0.100** | -0.050 |"]),
    ],
)
def test_by_hand_and_again(root, shown, lines):
    page = fill(PAGE.format(shown=shown), root)
    assert [line for line in page.splitlines() if line.startswith("|")] == lines
    assert "old" not in page
    assert page.startswith("Before.")
    assert page.endswith("After.\n")
    assert fill(page, root) == page


def test_a_mark_that_asks_for_what_is_not_there_is_named(root):
    with pytest.raises(StudyError, match="nonesuch"):
        fill(PAGE.format(shown="method nonesuch"), root)
    assert "not run yet" in fill(PAGE.format(shown="method"), root / "elsewhere")


def test_the_committed_page_shows_the_committed_tables():
    """If not: python -m bcdh_lib.comparison.page"""
    page = find_root() / "docs/study.md"
    assert fill(page.read_text(), find_root()) == page.read_text()
