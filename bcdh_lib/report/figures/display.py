"""Figures put into a notebook, each with the words that stand for it where it cannot be seen."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from bcdh_lib.report.figures.style import DPI, styled

if TYPE_CHECKING:
    import plotly.graph_objects as go

VIEW = "application/vnd.plotly.v1+json"  # JupyterLab turns it by plotly's extension, bcdh_lib.report.site by its own page


def show(figure: Figure, alt: str, caption: str = "", photographic: bool = False) -> None:
    """Show a figure: `alt` says what it shows to who cannot see it, `caption` (markdown) stands below it.

    A `photographic` figure is sent as JPEG, a tenth of the bytes. Raises ValueError where alt is empty.
    """
    picture = jpeg(figure) if photographic else png(figure)
    width = round(figure.get_figwidth() * DPI / 2)
    display(Image(picture, format="jpeg" if photographic else "png", width=width, alt=_words(alt)))
    _show_caption(caption)


def show_3d(view: go.Figure, still: bytes, alt: str, caption: str = "") -> None:
    """Show a view that can be turned, and the picture (a PNG or JPEG file) that stands for it in print and where WebGL lacks.

    Raises ValueError where alt is empty.
    """
    kind = "image/jpeg" if still.startswith(b"\xff\xd8") else "image/png"
    bundle: dict[str, Any] = {VIEW: json.loads(view.to_json()), kind: base64.b64encode(still).decode("ascii"), "text/plain": alt}
    display(bundle, raw=True, metadata={kind: {"alt": _words(alt)}})
    _show_caption(caption)


def png(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes from run to run: no date, no version."""
    return _saved(figure, format="png", metadata={"Software": None})


def jpeg(figure: Figure) -> bytes:
    """The figure as JPEG, the same bytes from run to run."""
    return _saved(figure, format="jpeg", pil_kwargs={"quality": 85, "optimize": True})


@styled()
def _saved(figure: Figure, **form: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, **form)
    return buffer.getvalue()


def _show_caption(caption: str) -> None:
    if caption:
        display(Markdown(caption), metadata={"text/markdown": {"caption": True}})


def _words(alt: str) -> str:
    if not alt.strip():
        raise ValueError("a figure needs an alt text: say in a sentence what it shows")
    return alt
