"""What the tests of figures share: small photos, and what every figure must hold to be printed."""

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.report.figures import display, style


@pytest.fixture
def printed():
    """What a plot function returns, checked: it has alt text, nothing is cut off, a second call gives the same bytes."""

    def check(plot, *arguments, **options):
        drawn = plot(*arguments, **options)
        figure, alt = drawn
        assert len(alt) > 20
        assert alt.endswith(".")
        assert "nan" not in alt
        picture = display.saved(figure)
        figure.set_dpi(style.DPI)
        left, bottom, right, top = figure.get_tightbbox().extents
        assert min(left, bottom) > -0.01
        assert right < figure.get_figwidth() + 0.01
        assert top < figure.get_figheight() + 0.01
        assert display.saved(plot(*arguments, **options)[0]) == picture
        return drawn

    return check


@pytest.fixture
def image(tmp_path):
    """Where photo 0 to 39 lie: landscape and upright ones in turn, each of its own grey."""
    for photo in range(40):
        size = (60, 40) if photo % 2 else (40, 60)
        Image.fromarray(np.full((size[1], size[0], 3), 6 * photo, dtype=np.uint8)).save(tmp_path / f"{photo:07d}.jpg")
    return lambda photo: tmp_path / f"{photo:07d}.jpg"
