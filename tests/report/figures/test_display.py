"""Figures in a notebook: their words, their bytes, and what stands for a view that cannot be turned."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from bcdh_lib.report import figures
from bcdh_lib.report.figures import display, style


def shown(call: Callable[[], None]) -> list[Any]:
    InteractiveShell.instance()
    with capture_output() as captured:
        call()
    return captured.outputs


@style.styled()
def plot() -> Any:
    figure, axes = style.new_figure(height=2)
    axes[0, 0].plot([16, 32], [0.2, 0.4], label="mAP")
    axes[0, 0].legend()
    return figure


def test_a_figure_is_shown_at_half_its_pixels_with_its_words_and_caption() -> None:
    [picture, caption] = shown(lambda: figures.show(plot(), "mAP rises with bits.", caption="*Bits* and mAP."))

    assert picture.metadata["image/png"] == {"width": 760, "alt": "mAP rises with bits."}
    assert base64.b64decode(picture.data["image/png"])[16:24] == np.array([1520, 400], ">u4").tobytes()  # IHDR's width, height
    assert caption.data["text/markdown"] == "*Bits* and mAP."
    assert caption.metadata["text/markdown"] == {"caption": True}


def test_a_photographic_figure_is_jpeg() -> None:
    [picture] = shown(lambda: figures.show(plot(), "Photos.", photographic=True))
    assert picture.metadata["image/jpeg"]["alt"] == "Photos."
    assert base64.b64decode(picture.data["image/jpeg"])[:2] == b"\xff\xd8"


@pytest.mark.parametrize("saved", [display.png, display.jpeg])
def test_the_same_plot_is_the_same_bytes_whatever_the_users_own_style(saved: Callable[[Any], bytes]) -> None:
    plain = saved(plot())
    with matplotlib.rc_context({"font.family": "serif", "savefig.dpi": 30, "axes.grid": False, "savefig.bbox": "tight"}):
        assert saved(plot()) == plain
    assert b"Software" not in plain


def test_a_view_carries_its_still_and_its_words() -> None:
    view = go.Figure(go.Scatter3d(x=np.arange(3, dtype=np.float32), y=[0, 0, 1], z=[1, 2, 3]))
    [output] = shown(lambda: figures.show_3d(view, b"still", "A tower in 3 points."))

    assert output.data[display.VIEW]["data"][0]["type"] == "scatter3d"
    assert base64.b64decode(output.data["image/png"]) == b"still"
    assert output.metadata == {"image/png": {"alt": "A tower in 3 points."}}


@pytest.mark.parametrize("alt", ["", "  "])
def test_no_figure_without_words(alt: str) -> None:
    with pytest.raises(ValueError, match="needs an alt text"):
        figures.show(plot(), alt)
    with pytest.raises(ValueError, match="needs an alt text"):
        figures.show_3d(go.Figure(), b"", alt)


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    display.png(plot())
    assert dict(matplotlib.rcParams) == before


def test_no_two_methods_share_a_face_and_an_unknown_one_has_its_own_name() -> None:
    faces = [(each.colour, each.marker) for each in style.METHODS.values()]
    assert len(set(faces)) == len(faces)
    assert style.face("a_new_loss").label == "a_new_loss"
