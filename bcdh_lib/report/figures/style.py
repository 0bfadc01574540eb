"""How every plot of the study looks: one palette, one face a method, sizes that fit the page, the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

PAGE = 7.6  # inches; 760 px on the page, twice as many in the file
DPI = 200  # px an inch in the file, shown at half size: sharp on dense screens and in print

# Okabe and Ito's palette, told apart by colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, INK, GREY = "#56B4E9", "#CC79A7", "#C8B900", "#222222", "#8A8A8A"  # yellow darkened to show on white
SIMILAR, DISSIMILAR = BLUE, ORANGE
HIT, MISS = GREEN, RED

RC: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, INK]),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "patch.linewidth": 0,
    "image.interpolation": "antialiased",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "bcdh",
}


Drawn = tuple[Figure, str]
"""What every plot function gives: the figure, and the words that stand for it, as display.show takes them."""


@dataclass(frozen=True)
class Face:
    """How one method looks in every plot: never by colour alone."""

    label: str
    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]


_DOTS, _DASHES, _LONG = (0, (1, 1)), (0, (4, 2)), (0, (8, 2))
METHODS = {
    "binary_constrained": Face("Binary constrained (ours)", BLUE, "o", "solid"),
    "contrastive": Face("Contrastive", ORANGE, "s", "solid"),
    "dsh": Face("DSH", GREEN, "^", "solid"),
    "dpsh": Face("DPSH", PURPLE, "v", "solid"),
    "dhn": Face("DHN", RED, "D", "solid"),
    "hashnet": Face("HashNet", SKY, "P", "solid"),
    "dch": Face("DCH", YELLOW, "X", "solid"),
    "greedyhash": Face("GreedyHash", ORANGE, "<", _DASHES),
    "uh_bdnn": Face("UH-BDNN", GREEN, ">", _DASHES),
    "float": Face("Float parent", INK, "*", _LONG),
    "whitened": Face("Pretrained, whitened", GREY, "+", _LONG),
    "pretrained": Face("Pretrained only", GREY, "d", _LONG),
    "itq": Face("ITQ", PURPLE, "p", _DASHES),
    "lsh": Face("LSH", RED, "h", _DASHES),
    "pcah": Face("PCAH", SKY, "H", _DASHES),
    "sh": Face("SH", YELLOW, "8", _DASHES),
    "sift_bow": Face("SIFT bag of words", GREY, "1", _DOTS),
    "sift_vlad": Face("SIFT VLAD", GREY, "2", _DOTS),
}


def _coded(coder: str, source: str, words: str) -> Face:
    """Shallow codes of vectors that are not the float parent's: the coder's colour, the vectors' marker."""
    return Face(f"{METHODS[coder].label} ({words})", METHODS[coder].colour, METHODS[source].marker, _DOTS)


for _source, _words in (("pretrained", "pretrained"), ("whitened", "pretrained, whitened")):
    METHODS |= {f"{_source}_{coder}": _coded(coder, _source, _words) for coder in ("itq", "uh_bdnn", "lsh", "pcah", "sh")}
METHODS |= {f"{source}_itq": _coded("itq", source, METHODS[source].label) for source in ("sift_bow", "sift_vlad")}


def face(method: str) -> Face:
    """The method's face; a method that has none here yet is drawn grey under its own name."""
    return METHODS.get(method, Face(method, GREY, "x", _DOTS))


@contextmanager
def styled() -> Iterator[None]:
    """The study's style, for a plot function (as the decorator `@styled()`) or a `with` block; it leaves no trace behind."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc has no say here
        matplotlib.rcParams.update(RC)
        yield


@styled()
def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.2, width: float = PAGE, **grid: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of `width` x `height` inches and its axes, an array [rows, columns]; `grid` goes to Figure.subplots.

    The figure stands outside pyplot: nothing keeps it alive, and no notebook shows it twice.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)
