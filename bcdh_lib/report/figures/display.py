"""What plot functions return: a picture, or a view that can be turned, each with the words that describe it.

The last line of a notebook cell is shown, so `models.sizes(registrations)` alone shows the figure.
"""

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

    @property
    def form(self) -> str:
        return "png"

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        return _bundle(self.figure, self.alt, self.form)


class PhotoPicture(Picture):
    """A picture made of photos: shown as JPEG, a tenth of the bytes."""

    @property
    def form(self) -> str:
        return "jpeg"


class View(NamedTuple):
    """A view that can be turned, and the picture that replaces it in print and in browsers without WebGL."""

    turnable: "go.Figure"
    figure: Figure
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        data, metadata = _bundle(self.figure, self.alt, "png")
        return {VIEW: json.loads(self.turnable.to_json()), **data}, metadata


class Gallery(list[Any]):
    """Several pictures or views, shown one below the other; a text (Markdown) is the caption of what is above it."""

    def _ipython_display_(self) -> None:
        for each in self:
            if isinstance(each, str):
                display(Markdown(each), metadata={"text/markdown": {"caption": True}})
            else:
                display(each)


@styled()
def saved(figure: Figure, form: str = "png") -> bytes:
    """The figure as PNG or JPEG, the same bytes from run to run: no date, no version."""
    options: Any = {"png": {"metadata": {"Software": None}}, "jpeg": {"pil_kwargs": {"quality": 85, "optimize": True}}}
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format=form, **options[form])
    return buffer.getvalue()


def _bundle(figure: Figure, alt: str, form: str) -> Bundle:
    if not alt.strip():
        raise ValueError("a figure needs an alt text: say in a sentence what it shows")
    kind, metadata = f"image/{form}", {"width": round(figure.get_figwidth() * DPI / 2), "alt": alt}
    return {kind: base64.b64encode(saved(figure, form)).decode("ascii")}, {kind: metadata}
