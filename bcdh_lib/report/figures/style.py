"""How every plot looks: one palette, one look for each method, the words on figures, the same bytes everywhere."""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

PAGE = 7.6  # inches; 760 px on the page, twice as many in the file
DPI = 200  # px an inch in the file, shown at half size: sharp on dense screens and in print

# Okabe and Ito's palette, distinguishable for colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, INK, GREY = "#56B4E9", "#CC79A7", "#C8B900", "#222222", "#757575"  # yellow darkened to show on white
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, INK)
SIMILAR, DISSIMILAR = BLUE, ORANGE

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
    "axes.prop_cycle": cycler(color=COLOURS),
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
    colour = INK if method in REAL else COLOURS[place % 8]
    return Face(NAMES.get(method, label), colour, "os^vDPX<*ph8>Hd"[place % 15], dashes)


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
    """A figure of `width` x `height` inches and its axes [rows, columns]; `grid` goes to Figure.subplots.

    pyplot does not know the figure: nothing keeps it alive, and no notebook shows it twice.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(max(rows, 1), max(columns, 1), squeeze=False, **grid)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """1 photo, 2 photos, 1,000 photos."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def benchmark_label(name: str) -> str:
    """A benchmark's name as a title: rendered_oxford -> Rendered Oxford, roxford5k_hard -> ROxford5k Hard."""
    words = " ".join(word.capitalize() for word in name.split("_"))
    return words.replace("Roxford", "ROxford").replace("Rparis", "RParis")


def blank(axes: Axes, words: str) -> None:
    """Replace an empty plot by the reason why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=11)
