"""The Holidays reader: groups by name, the query ignored, broken names, the real list."""

from pathlib import Path

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.holidays import group_queries, read_holidays

REAL = Path(__file__).resolve().parents[4] / "shared/benchmarks/holidays/holidays_images.dat"


def make_benchmark(root: Path, names: list[str]) -> Path:
    folder = root / "rendered_holidays"
    (folder / "images").mkdir(parents=True)
    for name in names:
        (folder / "images" / name).touch()
    return folder


def test_by_hand(tmp_path):
    benchmark = read_holidays(make_benchmark(tmp_path, ["100101.jpg", "100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg"]))
    assert [(query.name, query.group) for query in benchmark.queries] == [("100000", "1000"), ("100100", "1001")]
    assert benchmark.positive().tolist() == [[False, True, True, False, False], [False, False, False, False, True]]
    assert benchmark.junk().tolist() == [[True, False, False, False, False], [False, False, False, True, False]]


def test_broken_names(tmp_path):
    with pytest.raises(StudyError, match=r"IMG_1.jpg: a Holidays photo is named by its number"):
        read_holidays(make_benchmark(tmp_path / "a", ["IMG_1.jpg"]))
    with pytest.raises(StudyError, match=r"100200.jpg, is not there"):
        read_holidays(make_benchmark(tmp_path / "b", ["100201.jpg"]))
    with pytest.raises(StudyError, match="has no"):
        read_holidays(make_benchmark(tmp_path / "c", []))


@pytest.mark.skipif(not REAL.is_file(), reason="no real Holidays list next to the repository (../shared/benchmarks)")
def test_the_real_list_has_its_published_counts():
    queries = group_queries([line.removesuffix(".jpg") for line in REAL.read_text().split()])
    assert len(queries) == 500
    assert sum(len(query.positives) for query in queries) == 991
