"""Figures in a notebook: their alt text, their bytes, and the still of a view."""

import base64

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from bcdh_lib.report.figures import display, style
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture, View


@style.styled()
def plot():
    figure, axes = style.new_figure(height=2)
    axes[0, 0].plot([16, 32], [0.2, 0.4], label="mAP")
    axes[0, 0].legend()
    return figure


def test_a_picture_is_shown_at_half_its_pixels_with_its_alt_text():
    data, metadata = Picture(plot(), "mAP rises with bits.")._repr_mimebundle_()
    assert metadata == {"image/png": {"width": 760, "alt": "mAP rises with bits."}}
    assert base64.b64decode(data["image/png"])[16:24] == np.array([1520, 400], ">u4").tobytes()  # IHDR's width, height
    data, metadata = PhotoPicture(plot(), "Photos.")._repr_mimebundle_()
    assert metadata["image/jpeg"]["alt"] == "Photos."
    assert base64.b64decode(data["image/jpeg"])[:2] == b"\xff\xd8"


def test_a_gallery_shows_all_it_holds_and_texts_as_captions():
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.display_formatter.format(Gallery([Picture(plot(), "One."), "*Bits* and mAP."]))
    one, caption = captured.outputs
    assert set(one.data) == {"image/png", "text/plain"}
    assert caption.data["text/markdown"] == "*Bits* and mAP."
    assert caption.metadata["text/markdown"] == {"caption": True}


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_the_same_plot_is_the_same_bytes_whatever_the_users_own_style(form):
    plain, before = display.saved(plot(), form), dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.family": "serif", "savefig.dpi": 30, "axes.grid": False, "savefig.bbox": "tight"}):
        assert display.saved(plot(), form) == plain
    assert b"Software" not in plain
    assert dict(matplotlib.rcParams) == before


def test_a_view_has_its_still_and_its_alt_text():
    view = go.Figure(go.Scatter3d(x=np.arange(3, dtype=np.float32), y=[0, 0, 1], z=[1, 2, 3]))
    data, metadata = View(view, plot(), "A tower in 3 points.")._repr_mimebundle_()
    assert data[display.VIEW]["data"][0]["type"] == "scatter3d"
    assert base64.b64decode(data["image/png"]) == display.saved(plot())
    assert metadata["image/png"]["alt"] == "A tower in 3 points."


def test_no_figure_without_alt_text():
    for empty in (Picture(plot(), " "), PhotoPicture(plot(), ""), View(go.Figure(), plot(), "")):
        with pytest.raises(ValueError, match="alt text"):
            empty._repr_mimebundle_()
