"""The look of methods, and the words on figures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from bcdh_lib.report.figures import style
from bcdh_lib.report.figures.style import benchmark_label, counted, label_ends, new_figure, system_label


def test_counts_and_names() -> None:
    assert [counted(number, "photo") for number in (0, 1, 2000)] == ["0 photos", "1 photo", "2,000 photos"]
    assert counted(2, "query", "queries") == "2 queries"
    assert benchmark_label("rendered_oxford") == "Rendered Oxford"
    assert benchmark_label("roxford5k_hard") == "ROxford5k Hard"
    assert system_label("dsh", 64.0) == "DSH, 64 bits"
    assert [system_label("float", bits) for bits in (None, np.nan, pd.NA)] == ["Float baseline"] * 3


def test_labels_keep_their_order_do_not_overlap_and_stand_at_their_ends_where_there_is_room() -> None:
    figure, axes = new_figure(height=3)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 1))
    ends = [(1.0, 0.5, "b", "k"), (1.0, 0.501, "c", "k"), (1.0, 0.9, "d", "k"), (1.0, 0.0, "a", "k")]
    label_ends(axes[0, 0], ends)
    figure.draw_without_rendering()
    labels = sorted(axes[0, 0].texts, key=lambda text: text.get_text())
    spans = [label.get_window_extent().intervaly for label in labels]
    assert all(low[1] <= high[0] for low, high in pairwise(spans))
    heights = [label.get_position()[1] for label in labels]
    assert np.isclose(heights[3], 0.9)
    assert np.isclose(np.mean(heights[1:3]), 0.5005)


def test_more_labels_than_the_axes_hold_start_at_its_foot() -> None:
    _, axes = new_figure(height=1)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 1))
    label_ends(axes[0, 0], [(1.0, 0.5, str(number), "k") for number in range(30)])
    assert 0 < axes[0, 0].texts[0].get_position()[1] < 0.2
    label_ends(axes[0, 0], [])


def test_methods_differ_in_colour_and_marker_and_a_new_one_needs_no_entry() -> None:
    faces = [(each.colour, each.marker) for each in map(style.face, style.NAMES)]
    assert len(set(faces)) == len(faces)
    assert style.face("a_new_loss").label == "A NEW LOSS"
    assert style.face("cosine").label == "Cosine"
    assert style.face("cosine") == style.face("cosine") != style.face("itq")
    assert style.in_order(["zeta", "itq", "binary_constrained", "alpha", "itq"]) == ["binary_constrained", "itq", "alpha", "zeta"]
