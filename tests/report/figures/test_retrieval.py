"""The benchmarks, and how well codes retrieve, as figures."""

import numpy as np
import pytest

from bcdh_lib.report.figures import retrieval
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query


@pytest.fixture
def benchmark_of_photos(image):
    """Six photos; query a is photo 0 (junk for itself), answered by 1 and 2; query b is answered by none."""
    photos = {str(number): image(number) for number in range(6)}
    first = Query("a", "0", (5, 5, 30, 30), frozenset({"1", "2"}), frozenset({"0"}))
    return Benchmark("rendered_holidays", photos, [first, Query("b", "5", None, frozenset(), frozenset())])


def test_a_ranking_is_shown_in_its_order_with_its_marks(printed, benchmark_of_photos):
    distances = np.array([[0, 9, 4, 4, 30, 30], [1, 1, 1, 1, 1, 0]], dtype=np.uint16)
    figure, alt = printed(retrieval.ranking_gallery, benchmark_of_photos, distances, ["a"], k=4)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[2:] == ["a\n2 positives", "0 bits", "–", "4 bits", "✓", "4 bits", "✗", "9 bits", "✓"]
    assert alt == "1 query of Rendered Holidays, each with its 4 nearest photos; 2 of the 4 photos are hits."


def test_rankings_of_all_queries_by_real_distances(printed, benchmark_of_photos):
    distances = np.random.default_rng(0).uniform(size=(2, 6))
    figure, alt = printed(retrieval.ranking_gallery, benchmark_of_photos, distances, ["b", "a"], k=9, unit="")
    assert f"{distances[1].min():.3f}" in [text.get_text() for text in figure.axes[0].texts]
    assert "each with its 6 nearest photos; 2 of the 12 photos" in alt
    with pytest.raises(ValueError, match="rendered_holidays: has no query c; its queries are a, b"):
        retrieval.ranking_gallery(benchmark_of_photos, distances, ["c"])


def test_codes_are_compared_with_the_first(printed):
    codes = {
        "query": np.array([0b101, 0], np.uint8),
        "near": np.array([0b100, 0], np.uint8),
        "far": np.array([0b010, 255], np.uint8),
    }
    figure, alt = printed(retrieval.code_rows, codes)
    assert alt.endswith("near: 1 of 16 bits differ; far: 11 of 16 bits differ.")
    filled = [[patch.get_fill() and patch.get_facecolor()[3] > 0 for patch in panel.patches] for panel in figure.axes]
    assert [np.flatnonzero(row).tolist() for row in filled] == [[0, 2], [2], [1, *range(8, 16)]]


def test_a_benchmark_sheet_shows_queries_with_their_answers(printed, image):
    files = {str(number): image(number) for number in range(8)}
    many = Query("radcliffe_camera_of_oxford_1", "0", (5, 5, 20, 20), frozenset("0123456"), frozenset("7"))
    few = Query("b", "5", None, frozenset("4"), frozenset())
    figure, alt = printed(retrieval.benchmark_sheet, Benchmark("rendered_paris", files, [many, few]))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[2:] == ["radcl…oxford_1", "4 of 7", *"✓✓✓✓", "1 of 1", "–", "b", "1 of 1", "✓"]
    assert alt.startswith("2 of the 2 queries of Rendered Paris (8 photos)")
