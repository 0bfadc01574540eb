"""Photos laid out on a page: sharp thumbnails, frames marked by colour and symbol, short lines of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.report.figures.style import DPI, GREY, HIT, INK, MISS, PAGE, styled

ImageOf = Callable[[int], Path]
"""The path of a photo's upright copy, by its photo_id: `study.image`."""

MARKS = {"hit": (HIT, "✓"), "miss": (MISS, "✗"), "junk": (GREY, "–"), "query": (INK, "")}
"""How a photo in a ranking is framed: colour and symbol."""


class Sheet:
    """A figure on which photos and words are placed in inches, x to the right and y downwards from the top left."""

    @styled()
    def __init__(self, height: float, width: float = PAGE) -> None:
        self.figure = Figure(figsize=(width, height))
        self.figure.set_layout_engine("none")
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()

    def photo(
        self,
        path: Path,
        place: tuple[float, float, float, float],
        mark: str | None = None,
        box: tuple[float, float, float, float] | None = None,
    ) -> tuple[float, float, float]:
        """Put a photo in the middle of a place (left, top, width, height), framed by a mark of MARKS, a box (px) drawn on it.

        Returns its left and top (inches) and the inches that a pixel of the file takes.
        Raises StudyError if the photo cannot be read.
        """
        left, top, width, height = place
        pixels, size = thumbnail(path, width, height)
        high, wide = pixels.shape[0] / DPI, pixels.shape[1] / DPI
        left, top, scale = left + (width - wide) / 2, top + (height - high) / 2, wide / size[0]
        self.axes.imshow(pixels, extent=(left, left + wide, top + high, top), aspect="auto", interpolation="none")
        if box is not None:
            corner, span = (left + box[0] * scale, top + box[1] * scale), ((box[2] - box[0]) * scale, (box[3] - box[1]) * scale)
            self.axes.add_patch(Rectangle(corner, *span, fill=False, edgecolor="white", linewidth=2.6))
            self.axes.add_patch(Rectangle(corner, *span, fill=False, edgecolor=INK, linewidth=1.2))
        if mark is not None:
            colour, symbol = MARKS[mark]
            self.axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=2.5))
            if symbol:
                badge = {"boxstyle": "square,pad=0.2", "facecolor": colour, "edgecolor": "none"}
                look: dict[str, Any] = {"color": "white", "fontsize": 8, "weight": "bold", "ha": "center", "va": "center"}
                self.axes.text(left + wide - 0.09, top + 0.1, symbol, bbox=badge, **look)
        return left, top, scale

    def text(
        self, x: float, y: float, words: str, size: float = 8, ha: str = "center", va: str = "top", colour: str = INK
    ) -> None:
        """Write words at x, their top (or what `va` says) at y."""
        self.axes.text(x, y, words, fontsize=size, color=colour, ha=ha, va=va, linespacing=1.25)


def thumbnail(path: Path, width: float, height: float) -> tuple[np.ndarray, tuple[int, int]]:
    """A photo as uint8 RGB [h, w, 3] that fits width x height inches, and its whole size (width, height in px).

    Raises StudyError if the photo cannot be read.
    """
    try:
        with Image.open(path) as photo:
            size = photo.size
            photo.draft("RGB", (round(width * DPI), round(height * DPI)))  # JPEG is decoded no larger than needed
            fitted = ImageOps.contain(photo.convert("RGB"), (round(width * DPI), round(height * DPI)), Image.Resampling.LANCZOS)
            return np.asarray(fitted), size
    except Exception as error:  # Pillow raises many kinds of errors on damaged files
        raise StudyError(f"{path}: cannot be shown ({one_line(error)}); rebuild it with: dvc repro -f photos") from None


def shortened(words: str, longest: int = 14) -> str:
    """Words that fit below a thumbnail; of longer ones the start and the end, which distinguish names."""
    return words if len(words) <= longest else f"{words[: longest // 2 - 2]}…{words[longest // 2 - 1 - longest :]}"


def evenly(count: int, wanted: int) -> np.ndarray:
    """Up to `wanted` of the places 0 .. count - 1, spread evenly, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)) if count else np.empty(0, dtype=int)


def photo_sheet(photos: list[tuple[Path, str]], columns: int = 8) -> Figure:
    """Photos row by row, each with a short line below it. An empty sheet says so."""
    if not photos:
        sheet = Sheet(0.5)
        sheet.text(PAGE / 2, 0.15, "no photo to show", size=10)
        return sheet.figure
    gap, line = 0.08, 0.2
    wide = (PAGE - gap) / columns - gap
    high = 0.75 * wide
    sheet = Sheet(gap + -(-len(photos) // columns) * (high + line))
    for number, (path, words) in enumerate(photos):
        row, column = divmod(number, columns)
        left, top = gap + column * (wide + gap), gap + row * (high + line)
        sheet.photo(path, (left, top, wide, high))
        sheet.text(left + wide / 2, top + high + 0.03, words, size=7.5)
    return sheet.figure
