"""Photos laid out on a page: samples, boxes, rankings and benchmarks."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.figures import retrieval
from bcdh_lib.report.figures.sheets import Sheet, Tile, contact_sheet, evenly, photo_rows, thumbnail
from bcdh_lib.report.figures.style import DPI
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query


def test_a_spread_sample_holds_first_and_last_and_no_place_twice():
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly(3, 8).tolist() == [0, 1, 2]
    assert evenly(0, 8).tolist() == []


def test_a_thumbnail_fits_its_place_and_keeps_the_photos_shape(tmp_path):
    Image.new("L", (400, 100)).save(tmp_path / "wide.png")
    pixels, size = thumbnail(tmp_path / "wide.png", 1, 1)
    assert pixels.shape == (DPI / 4, DPI, 3)
    assert size == (400, 100)


def test_a_box_lies_on_the_photo_where_it_lies_in_the_file(tmp_path):
    Image.new("RGB", (800, 400)).save(tmp_path / "photo.jpg")  # drawn 2 inches wide and 1 high, in a place 2 high
    sheet = Sheet(height=3)
    sheet.photo(Tile(tmp_path / "photo.jpg", box=(400, 100, 600, 300)), (1, 0.5, 2, 2))
    boxes = [patch for patch in sheet.axes.patches if isinstance(patch, Rectangle)]
    for box in boxes:
        assert np.allclose([*box.get_xy(), box.get_width(), box.get_height()], [2, 1.25, 0.5, 0.5])


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    for name in ("cut.jpg", "absent.jpg"):
        with pytest.raises(StudyError, match=rf"{name}: cannot be shown"):
            photo_rows([[Tile(tmp_path / name)]], 2)


def test_a_contact_sheet_spreads_its_sample(printed, image):
    figure, alt = printed(contact_sheet, pd.DataFrame({"photo_id": range(40)}), image, shown=4)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "13", "26", "39"]
    assert alt.startswith("4 of 40 photos")
    printed(contact_sheet, pd.DataFrame({"photo_id": []}), image)


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
    codes = {"query": [0b101, 0], "near": [0b100, 0], "far": [0b010, 255]}
    figure, alt = printed(retrieval.code_rows, {name: np.array(code, np.uint8) for name, code in codes.items()})
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
