"""The comparison over seeds: mAP against code length and number of models, BCDH minus each method, ablations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.report.figures.display import Picture
from bcdh_lib.report.figures.labels import benchmark_label, blank, label_ends
from bcdh_lib.report.figures.style import BCDH, BETTER, GREY, INK, REAL, WORSE, face, in_order, new_figure, styled

COLUMNS = [
    "benchmark",
    "scoring",
    "method",
    "bits",
    "models",
    "map",
    "low",
    "high",
    "difference",
    "verdict",
    "ablation",
    "p_holm",
]


def study_tables(root: Path) -> dict[str, pd.DataFrame]:
    """The committed tables of the study over seeds that are drawn here; empty ones if `make study` was never run."""
    found = read_tables(root)
    names = ("models", "benchmarks", "differences", "ablations", "bits")
    return {name: found.get(name, pd.DataFrame(columns=COLUMNS)) for name in names}


@styled()
def map_by_bits(summary: pd.DataFrame, methods: Sequence[str] | None = None) -> Picture:
    """mAP against code length, a panel for each benchmark, from a table with benchmark, method, bits, map, low and high.

    Lines are means over seeds; bands are the table's intervals, drawn for BCDH and the best other method. Real vectors are
    level lines. methods: the codes to draw; default: all.
    """
    benchmarks = list(summary["benchmark"].unique())
    figure, axes = new_figure(max(len(benchmarks), 1), 1, height=0.4 + 2.7 * max(len(benchmarks), 1), sharex=True)
    coded = summary[summary["bits"].notna()]
    coded = coded if methods is None else coded[coded["method"].isin(methods)]
    lengths = sorted({int(bits) for bits in coded["bits"]})
    others = coded[coded["method"] != BCDH].groupby("method")["map"].mean()
    banded = {BCDH, *([str(others.idxmax())] if len(others) else [])}
    said = []
    for panel, benchmark in zip(axes[:, 0], benchmarks, strict=False):
        rows = coded[coded["benchmark"] == benchmark]
        ends = [
            _line(panel, method, rows[rows["method"] == method].sort_values("bits"), banded)
            for method in in_order(rows["method"])
        ]
        level = summary[(summary["benchmark"] == benchmark) & summary["bits"].isna() & summary["method"].isin(REAL)]
        for method, value in level.groupby("method")["map"].mean().items():
            look = face(str(method))
            panel.axhline(value, color=look.colour, linestyle=look.dashes, linewidth=1.2)
            ends.append((lengths[-1] if lengths else 1, float(value), look.label, look.colour))
        panel.set_xscale("log", base=2)
        panel.set_xticks(lengths, lengths)
        panel.minorticks_off()
        panel.set(title=benchmark_label(str(benchmark)), ylabel="mAP")
        label_ends(panel, ends)
        own = rows[rows["method"] == BCDH].sort_values("bits")["map"]
        said += [f"on {benchmark_label(str(benchmark))} from {own.iloc[0]:.3f} to {own.iloc[-1]:.3f}"] if len(own) else []
    axes[-1, 0].set_xlabel("code length (bits)")
    if not benchmarks:
        blank(axes[0, 0], "no benchmark scored")
    return Picture(
        figure, f"mAP against code length, {', '.join(map(str, lengths)) or 'no'} bits. BCDH {'; '.join(said) or 'is not drawn'}."
    )


def _line(panel: Axes, method: str, rows: pd.DataFrame, banded: set[str]) -> tuple[float, float, str, str]:
    """Draw one method; return the end of its line, its name and colour."""
    look, bits, values = face(method), rows["bits"].astype(float), rows["map"].astype(float)
    width = 2.0 if method in banded else 1.0
    front = 3 if method == BCDH else 2
    panel.plot(bits, values, look.marker, color=look.colour, linestyle=look.dashes, linewidth=width, markersize=4, zorder=front)
    if method in banded:
        panel.fill_between(bits, rows["low"].astype(float), rows["high"].astype(float), color=look.colour, alpha=0.18, zorder=1)
    return float(bits.iloc[-1]), float(values.iloc[-1]), look.label, look.colour


@styled()
def map_by_models(models: pd.DataFrame) -> Picture:
    """mAP against the number of 3D models to learn from, a panel for each code length, from models.csv of one scoring.

    Bands are the table's intervals, drawn for BCDH. Real vectors, which have no length, are in every panel.
    """
    lengths = sorted({int(bits) for bits in models["bits"].dropna()})
    figure, axes = new_figure(1, max(len(lengths), 1), height=3.6, sharey=True, sharex=True)
    said = []
    for panel, bits in zip(axes[0], lengths, strict=False):
        rows = models[(models["bits"] == bits) | models["bits"].isna()]
        for method in in_order(rows["method"]):
            look, line = face(method), rows[rows["method"] == method].sort_values("models")
            style: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes, "label": look.label}
            panel.plot(line["models"], line["map"], look.marker, zorder=3 if method == BCDH else 2, **style)
            if method == BCDH:
                panel.fill_between(line["models"], line["low"], line["high"], color=look.colour, alpha=0.18, zorder=1)
                said.append(f"at {bits} bits from {line['map'].iloc[0]:.3f} to {line['map'].iloc[-1]:.3f}")
        ticks = sorted(set(rows["models"]))
        panel.set_xscale("log", base=2)
        panel.set_xticks(ticks, ticks)
        panel.minorticks_off()
        panel.set(title=f"{bits} bits", xlabel="3D models to learn from")
    axes[0, 0].set_ylabel("mAP, mean over the benchmarks")
    if lengths:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=3)
    else:
        blank(axes[0, 0], "make study has not been run")
    return Picture(figure, f"mAP against the number of 3D models. BCDH {'; '.join(said) or 'is not drawn'}.")


@styled()
def differences(table: pd.DataFrame, what: str = "method") -> Picture:
    """BCDH minus each method in mAP, or each ablation minus BCDH, with 95 % intervals, a panel for each code length.

    From the rows of differences.csv (what: method) or ablations.csv (what: ablation) of one scoring and one benchmark. Coloured
    if significant after Holm's correction.
    """
    table = table[table[what] != "reference"]
    order, lengths = in_order(table[what])[::-1], sorted({int(bits) for bits in table["bits"]})
    height = 1.0 + 0.24 * max(len(order), 3)
    figure, axes = new_figure(1, max(len(lengths), 1), height=height, sharey=True, sharex=True)
    for panel, bits in zip(axes[0], lengths, strict=False):
        rows = table[table["bits"] == bits].set_index(what).reindex(order)
        colours = rows["verdict"].map({"better": BETTER, "worse": WORSE}).fillna(GREY)
        for place, (row, colour) in enumerate(zip(rows.itertuples(), colours, strict=True)):
            panel.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
            panel.plot(row.difference, place, "o", color=colour, markersize=5)
        panel.axvline(0, color=INK, linewidth=1)
        panel.set(xlabel="difference in mAP", ylim=(-0.6, len(order) - 0.4))
        panel.set_title(f"{bits} bits", fontsize=10)
        panel.tick_params(axis="x", labelsize=8)
    axes[0, 0].set_yticks(range(len(order)), [face(each).label if what == "method" else each.replace("_", " ") for each in order])
    if not order:
        blank(axes[0, 0], "nothing to compare")
    if what == "method":
        return Picture(figure, f"BCDH minus each of {len(order)} methods in mAP: {in_words(table)}.")
    return Picture(
        figure, f"{len(order)} ablations minus BCDH in mAP; {(table['verdict'] != 'undecided').sum()} are significant."
    )


def in_words(table: pd.DataFrame) -> str:
    """How often BCDH is significantly better and worse."""
    better, worse = (int((table["verdict"] == verdict).sum()) for verdict in ("better", "worse"))
    return f"BCDH is significantly better in {better} of {len(table)} comparisons and worse in {worse or 'none'}"
