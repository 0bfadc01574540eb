"""Words on figures: counts, names of benchmarks and systems, labels at the ends of lines, and the text of an empty plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from bcdh_lib.report.figures.style import GREY, face


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """1 photo, 2 photos, 1,000 photos."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def benchmark_label(name: str) -> str:
    """A benchmark's name as a title: rendered_oxford -> Rendered Oxford, roxford5k_hard -> ROxford5k Hard."""
    words = " ".join(word.capitalize() for word in name.split("_"))
    return words.replace("Roxford", "ROxford").replace("Rparis", "RParis")


def system_label(method: str, bits: Any) -> str:
    """A method with its code length; bits is missing (None, NaN, NA) for real vectors."""
    return face(method).label if pd.isna(bits) else f"{face(method).label}, {int(bits)} bits"


def blank(axes: Axes, words: str) -> None:
    """Replace an empty plot by the reason why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=11)


def label_ends(axes: Axes, ends: list[tuple[float, float, str, Any]], size: float = 8.5) -> None:
    """Write each line's name (x, y, name, colour) to the right of the axes, as near to the line's end as other labels allow.

    The limits of the axes must be final. The labels keep their order and do not overlap: a least-squares fit of a monotone
    sequence (pool adjacent violators).
    """
    if not ends:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout fixes the height of the axes
    line = size * 1.3 / 72 * figure.dpi / axes.get_window_extent().height
    x_share, y_share = axes.transAxes.inverted().transform(axes.transData.transform([end[:2] for end in ends])).T
    order = np.argsort(y_share, kind="stable")
    steps = line * np.arange(len(ends))
    heights = isotonic_regression(y_share[order] - steps).x.clip(line / 2, max(line / 2, 1 - steps[-1] - line / 2)) + steps
    for place, height in zip(order, heights, strict=True):
        _, _, name, colour = ends[place]
        thin = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 3}
        axes.annotate(
            name,
            (x_share[place], y_share[place]),
            (1.04, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            arrowprops=thin,
        )
