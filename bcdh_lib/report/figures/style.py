"""How every plot looks: one palette, one look for each method, sizes that fit the page, the same bytes everywhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

PAGE = 7.6  # inches; 760 px on the page, twice as many in the file
DPI = 200  # px an inch in the file, shown at half size: sharp on dense screens and in print

# Okabe and Ito's palette, distinguishable for colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, INK, GREY = "#56B4E9", "#CC79A7", "#C8B900", "#222222", "#8A8A8A"  # yellow darkened to show on white
SIMILAR, DISSIMILAR = BLUE, ORANGE
BETTER, WORSE = BLUE, ORANGE
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
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "patch.linewidth": 0,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

BCDH = "binary_constrained"
NAMES = {
    BCDH: "BCDH",
    "contrastive": "Contrastive",
    "dsh": "DSH",
    "dpsh": "DPSH",
    "dhn": "DHN",
    "hashnet": "HashNet",
    "dch": "DCH",
    "greedyhash": "GreedyHash",
    "float": "Float baseline",
    "whitened": "Pretrained, whitened",
    "pretrained": "Pretrained",
    "itq": "ITQ",
    "uh_bdnn": "UH-BDNN",
    "sift_bow": "SIFT bag of words",
    "sift_vlad": "SIFT VLAD",
}
"""Names as papers write them, in the order in which methods are listed. A method without an entry gets a label and a look too."""

REAL = ("float", "whitened", "pretrained")
"""Methods that give real vectors."""


@dataclass(frozen=True)
class Face:
    """How one method looks in every plot: never by colour alone."""

    label: str
    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]


def face(method: str) -> Face:
    """The look of a method; one without an entry in NAMES takes colour and marker from its name, the same in every plot."""
    place = list(NAMES).index(method) if method in NAMES else len(NAMES) + zlib.crc32(method.encode()) % 97
    label = " ".join(word.upper() if len(word) < 5 else word.capitalize() for word in method.split("_"))
    dashes: Any = (0, (8, 2)) if method in REAL else "solid" if place < 8 else (0, (4, 2))
    colours = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, INK)
    return Face(NAMES.get(method, label), colours[place % 8], "os^vDPX<*ph8>Hd"[place % 15], dashes)


def in_order(methods: Iterable[str]) -> list[str]:
    """Each method once: those of NAMES in its order, then the others by name."""
    order = list(NAMES)
    return sorted(set(methods), key=lambda method: (order.index(method) if method in NAMES else len(order), method))


@contextmanager
def styled() -> Iterator[None]:
    """The study's style, for a plot function (as the decorator `@styled()`) or a `with` block; it leaves no trace behind."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's own matplotlibrc
        matplotlib.rcParams.update(RC)
        yield


@styled()
def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.2, width: float = PAGE, **grid: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of `width` x `height` inches and its axes, an array [rows, columns]; `grid` goes to Figure.subplots.

    pyplot does not know the figure: nothing keeps it alive, and no notebook shows it twice.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)
