"""What plot functions return: a picture, or a view that can be turned, each with the words that describe it.

The last line of a notebook cell is shown, so `models.sizes(registrations)` alone shows the figure.
"""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.display import Markdown, display
from matplotlib.figure import Figure

from bcdh_lib.report.figures.style import DPI, styled

if TYPE_CHECKING:
    import plotly.graph_objects as go

VIEW = "application/vnd.plotly.v1+json"  # JupyterLab shows it through plotly's extension, the site through its own script
Bundle = tuple[dict[str, Any], dict[str, Any]]


class Picture(NamedTuple):
    """A figure, and `alt`: a sentence or two that say what it shows, for readers who cannot see it."""

    figure: Figure
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        return _bundle("image/png", png(self.figure), self)


class PhotoPicture(Picture):
    """A picture made of photos: shown as JPEG, a tenth of the bytes."""

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        return _bundle("image/jpeg", jpeg(self.figure), self)


class View(NamedTuple):
    """A view that can be turned, and the picture that replaces it in print and in browsers without WebGL."""

    turnable: go.Figure
    figure: Figure
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        data, metadata = _bundle("image/png", png(self.figure), self)
        return {VIEW: json.loads(self.turnable.to_json()), **data}, metadata


class Gallery(list[Any]):
    """Several pictures or views, shown one below the other; a text (Markdown) is the caption of what is above it."""

    def _ipython_display_(self) -> None:
        for each in self:
            if isinstance(each, str):
                display(Markdown(each), metadata={"text/markdown": {"caption": True}})
            else:
                display(each)


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


def _bundle(kind: str, data: bytes, shown: Picture | View) -> Bundle:
    if not shown.alt.strip():
        raise ValueError("a figure needs an alt text: say in a sentence what it shows")
    metadata = {"width": round(shown.figure.get_figwidth() * DPI / 2), "alt": shown.alt}
    return {kind: base64.b64encode(data).decode("ascii"), "text/plain": shown.alt}, {kind: metadata}
