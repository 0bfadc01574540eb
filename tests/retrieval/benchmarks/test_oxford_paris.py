"""The readers of Oxford, Paris and Holidays: by hand, the real ground truths with the official figures, broken files."""

from pathlib import Path

import numpy as np
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.retrieval.benchmarks.gnd import landmark_of
from bcdh_lib.retrieval.benchmarks.holidays import group_queries, read_holidays
from bcdh_lib.retrieval.benchmarks.oxford_paris import read_ground_truth, read_oxford_paris

from .conftest import DATABASE, save_photos, save_text

REAL = Path(__file__).resolve().parents[4] / "shared/benchmarks"
HOLIDAYS = REAL / "holidays/holidays_images.dat"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no real ground truth next to the repository (../shared/benchmarks)")


def test_oxford_by_hand(tmp_path):
    benchmark = read_oxford_paris(save_text(save_photos(tmp_path / "rendered_oxford/images", DATABASE)))
    assert list(benchmark.photos) == ["a", "b", "c", "d"]
    (query,) = benchmark.queries
    assert (query.name, query.photo, query.box, query.group) == ("hall_1", "a", (1, 2.5, 40, 30), "hall")
    assert benchmark.positive().tolist() == [[True, False, False, True]]
    assert benchmark.junk().tolist() == [[False, False, True, False]]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("hall_1_query.txt", "a 1 2 3", "PHOTO left top right bottom"),
        ("hall_1_query.txt", "", "PHOTO left top right bottom"),
        ("hall_1_query.txt", "a b 2 3 4", "PHOTO left top right bottom"),
        ("hall_1_query.txt", "a 9 2 3 4", "box"),
        ("hall_1_good.txt", "nowhere_5", "nowhere_5"),
        ("hall_1_ok.txt", "\udcff", "hall_1_ok.txt"),
        ("hall_1_junk.txt", None, "hall_1_junk.txt"),
    ],
)
def test_a_broken_or_absent_file_is_named(tmp_path, file, text, message):
    folder = save_text(save_photos(tmp_path / "rendered_oxford/images", DATABASE))
    path = folder / "groundtruth" / file
    path.unlink() if text is None else path.write_text(text, errors="surrogateescape")
    with pytest.raises(StudyError, match=message):
        read_oxford_paris(folder)


@needs_real
def test_the_real_ground_truth_has_its_published_counts():
    queries = read_ground_truth(REAL / "oxford5k_ground_truth")
    assert len(queries) == 55
    assert sum(len(query.positives) for query in queries) == 2840
    assert all(query.photo in query.positives for query in queries)
    assert len(set().union(*({q.photo} | q.positives | q.junk for q in queries))) == 845


@needs_real
@pytest.mark.parametrize("method", ["result-sift-knn-top100", "result_orb_top50"])
def test_trapezoid_equals_the_official_program_on_real_rankings(method):
    """compute_ap was given cut rankings: positives that it never met add nothing, hence the scaling by the share found."""
    folder = REAL / "oxford5k_rankings" / method
    queries = {query.name: query for query in read_ground_truth(REAL / "oxford5k_ground_truth")}
    printed = [line.split() for line in (folder / "AP.txt").read_text().splitlines() if "/" in line]
    official = {path.split("/")[-1]: float(value) for path, value in printed}
    assert official.keys() == queries.keys()
    for name, query in queries.items():
        ranked = (folder / f"{name}_top.txt").read_text().split()
        positive, junk = (np.array([[photo in names for photo in ranked]]) for names in (query.positives, query.junk))
        found = positive.sum()
        ties = ties_of_distances(np.arange(len(ranked))[None], positive, junk)
        value = average_precision(ties, "trapezoid")[0] * found / len(query.positives) if found else 0.0
        assert value == pytest.approx(official[name], abs=1e-6, rel=1e-5), name


def test_queries_of_one_landmark_share_its_name():
    real, others = ["all_souls_1", "all_souls_000013", "paris_louvre_000139_1"], ["landmark_00_2", "landmark_00_000004", "7"]
    assert [landmark_of(query) for query in real] == ["all_souls", "all_souls", "paris_louvre"]
    assert [landmark_of(query) for query in others] == ["landmark_00", "landmark_00", "7"]


def test_holidays_by_hand(tmp_path):
    benchmark = read_holidays(save_photos(tmp_path / "jpg", ["100101", "100000", "100001", "100002", "100100"]))
    assert [(query.name, query.group) for query in benchmark.queries] == [("100000", "1000"), ("100100", "1001")]
    assert benchmark.positive().tolist() == [[False, True, True, False, False], [False, False, False, False, True]]
    assert benchmark.junk().tolist() == [[True, False, False, False, False], [False, False, False, True, False]]


@pytest.mark.parametrize(
    ("names", "said"), [(["IMG_1"], "IMG_1.jpg: a"), (["100201"], "100200.jpg, is not there"), ([], "has no")]
)
def test_broken_names(tmp_path, names, said):
    with pytest.raises(StudyError, match=said):
        read_holidays(save_photos(tmp_path / "jpg", names))


@needs_real
def test_the_real_list_of_holidays_has_its_published_counts():
    queries = group_queries([line.removesuffix(".jpg") for line in HOLIDAYS.read_text().split()])
    assert len(queries) == 500
    assert sum(len(query.positives) for query in queries) == 991
