"""Photos laid out on a page."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.figures.sheets import Sheet, Tile, contact_sheet, evenly, photo_rows, thumbnail
from bcdh_lib.report.figures.style import DPI


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
