"""The Holidays reader: groups by name, the query ignored, broken names, the real list."""

from pathlib import Path

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.holidays import group_queries, read_holidays

from .conftest import save_photos

REAL = Path(__file__).resolve().parents[4] / "shared/benchmarks/holidays/holidays_images.dat"


def test_by_hand(tmp_path):
    benchmark = read_holidays(save_photos(tmp_path / "jpg", ["100101", "100000", "100001", "100002", "100100"]))
    assert [(query.name, query.group) for query in benchmark.queries] == [("100000", "1000"), ("100100", "1001")]
    assert benchmark.positive().tolist() == [[False, True, True, False, False], [False, False, False, False, True]]
    assert benchmark.junk().tolist() == [[True, False, False, False, False], [False, False, False, True, False]]


def test_broken_names(tmp_path):
    with pytest.raises(StudyError, match=r"IMG_1.jpg: a Holidays photo is named by its number"):
        read_holidays(save_photos(tmp_path / "a/jpg", ["IMG_1"]))
    with pytest.raises(StudyError, match=r"100200.jpg, is not there"):
        read_holidays(save_photos(tmp_path / "b/jpg", ["100201"]))
    with pytest.raises(StudyError, match="has no"):
        read_holidays(save_photos(tmp_path / "c/jpg", []))


@pytest.mark.skipif(not REAL.is_file(), reason="no real Holidays list next to the repository (../shared/benchmarks)")
def test_the_real_list_has_its_published_counts():
    queries = group_queries([line.removesuffix(".jpg") for line in REAL.read_text().split()])
    assert len(queries) == 500
    assert sum(len(query.positives) for query in queries) == 991
