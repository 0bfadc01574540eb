"""Photos laid out on a page: sharp thumbnails, frames marked by colour and symbol, short lines of text, points that two share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.report.figures.display import PhotoPicture
from bcdh_lib.report.figures.style import DPI, GREEN, GREY, INK, PAGE, RED, counted, styled

ImageOf = Callable[[int], Path]
"""The path of a photo's upright copy, by its photo_id: `study.image`."""
Places = NDArray[np.float64]
Box = tuple[float, float, float, float]

MARKS = {"hit": (GREEN, "✓"), "miss": (RED, "✗"), "junk": (GREY, "–"), "query": (INK, "")}
"""How a photo in a ranking is framed: colour and symbol."""
DOT = "#F0E442"  # Okabe and Ito's yellow; a dark rim makes it visible on any photo
GAP = 0.07  # inches between photos


class Tile(NamedTuple):
    """A photo of a sheet: the words below it, its frame (of MARKS), and a box on it, in px."""

    path: Path
    words: str = ""
    mark: str | None = None
    box: Box | None = None


class Sheet:
    """A figure on which photos and words are placed in inches, x to the right and y downwards from the top left."""

    @styled()
    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(PAGE, height))
        self.figure.set_layout_engine("none")
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, PAGE), ylim=(height, 0))
        self.axes.set_axis_off()
        self.corners: dict[tuple[int, int], tuple[float, float, float]] = {}

    def photo(self, tile: Tile, place: Box) -> tuple[float, float, float]:
        """Put a photo in the middle of a place (left, top, width, height); its words go below the place.

        Returns its left and top (inches) and the inches that a pixel of the file takes. Raises StudyError.
        """
        left, top, width, height = place
        if tile.words:
            self.text(left + width / 2, top + height + 0.03, tile.words, 7.5)
        pixels, size = thumbnail(tile.path, width, height)
        high, wide = pixels.shape[0] / DPI, pixels.shape[1] / DPI
        left, top, scale = left + (width - wide) / 2, top + (height - high) / 2, wide / size[0]
        self.axes.imshow(pixels, extent=(left, left + wide, top + high, top), aspect="auto", interpolation="none")
        if tile.box is not None:
            x, y, right, bottom = (scale * side for side in tile.box)
            for colour, line in (("white", 2.6), (INK, 1.2)):
                corner = (left + x, top + y)
                self.axes.add_patch(Rectangle(corner, right - x, bottom - y, fill=False, edgecolor=colour, linewidth=line))
        if tile.mark is not None:
            colour, symbol = MARKS[tile.mark]
            self.axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=2.5))
            if symbol:
                badge = {"boxstyle": "square,pad=0.2", "facecolor": colour, "edgecolor": "none"}
                at: Any = {"color": "white", "fontsize": 8, "weight": "bold", "ha": "center", "va": "center", "bbox": badge}
                self.axes.text(left + wide - 0.09, top + 0.1, symbol, **at)
        return left, top, scale

    def text(self, x: float, y: float, words: str, size: float = 8, ha: str = "center", va: str = "top") -> None:
        """Write words at x, their top (or what `va` says) at y."""
        self.axes.text(x, y, words, fontsize=size, color=INK, ha=ha, va=va, linespacing=1.25)

    def mark(self, places: tuple[Places, Places], *tiles: tuple[int, int], lines: int, colour: str = DOT) -> None:
        """Mark points (px) in two photos, named by row and column, and join `lines` of them, evenly chosen."""
        corners = [self.corners[tile] for tile in tiles]
        first, second = (np.array([left, top]) + scale * xy for xy, (left, top, scale) in zip(places, corners, strict=True))
        dot: dict[str, Any] = {"markersize": 2.6, "markerfacecolor": colour, "markeredgecolor": INK, "markeredgewidth": 0.4}
        for both in (first, second):
            self.axes.plot(*both.T, "o", **dot)
        for point in np.argsort(first[:, 0], kind="stable")[evenly(len(first), lines)] if lines else []:
            ends = np.array([first[point], second[point]]).T
            self.axes.plot(*ends, color=INK, linewidth=1.4)
            self.axes.plot(*ends, color=colour, linewidth=0.8)


def photo_rows(
    rows: Sequence[Sequence[Tile]], columns: int, heads: Mapping[int, str] | None = None, apart: Sequence[int] = ()
) -> Sheet:
    """Rows of photos in columns of equal width, four by three; `corners` of the sheet says where each lies.

    heads: words above columns; apart: columns that are set off from what is left of them. Raises StudyError.
    """
    wide = (PAGE - GAP * (columns + 1) - 0.2 * len(apart)) / columns
    lefts = [GAP + column * (wide + GAP) + 0.2 * sum(column >= other for other in apart) for column in range(columns)]
    lines = [max((tile.words.count("\n") + bool(tile.words) for tile in row), default=1) for row in rows] or [1]
    heights, head = [0.75 * wide + (0.08 + 0.14 * each if each else GAP) for each in lines], 0.3 if heads else GAP
    sheet = Sheet(head + sum(heights))
    for column, words in (heads or {}).items():
        sheet.text(lefts[column], 0.21, words, 9, "left", "baseline")
    if not any(rows):
        sheet.text(PAGE / 2, head + 0.3 * wide, "none", 10)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            place = (lefts[column], head + sum(heights[:number]), wide, 0.75 * wide)
            sheet.corners[number, column] = sheet.photo(tile, place)
    return sheet


def in_rows(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    """The tiles in rows of `columns`."""
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def contact_sheet(photos: pd.DataFrame, image: ImageOf, shown: int = 48) -> PhotoPicture:
    """A sample of a table's photos, spread evenly, each with its photo_id."""
    chosen = photos["photo_id"].iloc[evenly(len(photos), shown)].tolist()
    tiles = [Tile(image(photo), str(photo)) for photo in chosen]
    alt = f"{len(chosen)} of {counted(len(photos), 'photo')}, spread evenly, each with its photo_id."
    return PhotoPicture(photo_rows(in_rows(tiles, 8), 8).figure, alt)


def thumbnail(path: Path, width: float, height: float) -> tuple[np.ndarray, tuple[int, int]]:
    """A photo as uint8 RGB [h, w, 3] that fits width x height inches, and its whole width and height (px). Raises StudyError."""
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
