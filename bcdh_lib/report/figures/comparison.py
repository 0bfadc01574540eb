"""The comparison over seeds: BCDH minus each method, and ablations."""

from pathlib import Path

import pandas as pd

from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.report.figures.display import Picture
from bcdh_lib.report.figures.style import BLUE, GREY, INK, ORANGE, blank, face, in_order, new_figure, styled

TABLES = ("models", "mean", "end_to_end", "benchmarks", "differences", "ablations", "bits", "trials")
COLUMNS = ["benchmark", "scoring", "trained_on", "training", "method", "bits", "models", "map", "low", "high",
           "difference", "verdict", "ablation"]  # fmt: skip
COLOURS = {"better": BLUE, "worse": ORANGE, "undecided": GREY}


def study_tables(root: Path, prefix: str = "") -> dict[str, pd.DataFrame]:
    """The committed tables of a study over seeds that are drawn here; empty ones if it was never run. prefix: "real_"."""
    found = read_tables(root, prefix)
    return {name: found.get(name, pd.DataFrame(columns=COLUMNS)) for name in TABLES}


@styled()
def differences(table: pd.DataFrame, what: str = "method") -> Picture:
    """BCDH minus each method in mAP, or each ablation minus BCDH, with 95 % intervals, a panel for each code length.

    From the rows of differences.csv (what: method) or ablations.csv (what: ablation) of one scoring and one benchmark. Filled and
    coloured if significant after Holm's correction, blue if it is better.
    """
    table = table[table[what] != "reference"]
    order, lengths = in_order(table[what])[::-1], sorted({int(bits) for bits in table["bits"]})
    figure, axes = new_figure(1, len(lengths), height=1.0 + 0.24 * max(len(order), 3), sharey=True, sharex=True)
    for panel, bits in zip(axes[0], lengths, strict=False):
        for row in table[table["bits"] == bits].itertuples():
            place, colour = order.index(getattr(row, what)), COLOURS[str(row.verdict)]
            panel.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
            panel.plot(row.difference, place, "o", color=colour, markerfacecolor="white" if colour == GREY else colour)
        panel.axvline(0, color=INK, linewidth=1)
        panel.set(xlabel="difference in mAP", ylim=(-0.6, len(order) - 0.4))
        panel.set_title(f"{bits} bits", fontsize=10)
        panel.tick_params(axis="x", labelsize=8)
        panel.xaxis.get_major_locator().set_params(nbins=4)
    axes[0, 0].set_yticks(range(len(order)), [face(each).label if what == "method" else each.replace("_", " ") for each in order])
    if not order:
        blank(axes[0, 0], "nothing to compare")
    if what == "method":
        return Picture(figure, f"BCDH minus each of {len(order)} methods in mAP: {in_words(table)}.")
    return Picture(figure, f"{len(order)} ablations minus BCDH; {(table['verdict'] != 'undecided').sum()} are significant.")


def in_words(table: pd.DataFrame) -> str:
    """How often BCDH is significantly better and worse."""
    better, worse = (int((table["verdict"] == verdict).sum()) for verdict in ("better", "worse"))
    return f"BCDH is significantly better in {better} of {len(table)} comparisons and worse in {worse or 'none'}"
