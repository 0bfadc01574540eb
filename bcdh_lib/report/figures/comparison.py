"""The comparison over seeds, as figures: mAP against bits with intervals, ranks and critical differences, verdicts, ablations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import studentized_range

from bcdh_lib.report.figures.labels import benchmark_label, blank, label_ends
from bcdh_lib.report.figures.retrieval import BETTER, WORSE
from bcdh_lib.report.figures.style import GREY, INK, METHODS, Drawn, face, new_figure, styled
from bcdh_lib.retrieval.score import FLOAT, OURS, PRETRAINED, WHITENED
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.training.losses import LOSSES

COMPARED = [*LOSSES, *SHALLOW]
"""What stands in a figure: trained codes, and shallow codes of the float parent; those of other vectors are in tables alone."""


@styled()
def map_over_seeds(summary: pd.DataFrame, methods: Sequence[str] = (*LOSSES, "itq")) -> Drawn:
    """mAP against code length, mean over the seeds, a panel a benchmark, from reports/study/summary.csv.

    Bands are 95 % intervals over the seeds, drawn for ours and the best other method; real vectors are level lines.
    """
    benchmarks = list(summary["benchmark"].unique())
    figure, axes = new_figure(max(len(benchmarks), 1), 1, height=0.4 + 2.7 * max(len(benchmarks), 1), sharex=True)
    lengths = sorted({int(bits) for bits in summary["bits"].dropna()})
    said = []
    for panel, benchmark in zip(axes[:, 0], benchmarks, strict=False):
        rows = summary[summary["benchmark"] == benchmark]
        coded = rows[rows["method"].isin(methods) & rows["bits"].notna()]
        ends = [_line(panel, method, part.sort_values("bits"), _banded(coded)) for method, part in coded.groupby("method")]
        for method in (FLOAT, WHITENED, PRETRAINED):
            value = rows.loc[(rows["method"] == method) & rows["bits"].isna(), "map"]
            if len(value):
                panel.axhline(float(value.iloc[0]), color=face(method).colour, linestyle=face(method).dashes, linewidth=1.2)
                ends.append((lengths[-1] if lengths else 1, float(value.iloc[0]), face(method).label, face(method).colour))
        panel.set_xscale("log", base=2)
        panel.set_xticks(lengths, lengths)
        panel.minorticks_off()
        panel.set(title=benchmark_label(benchmark), ylabel="mAP")
        label_ends(panel, ends)
        ours = coded[coded["method"] == OURS].sort_values("bits")
        said += (
            [f"on {benchmark_label(benchmark)} from {ours['map'].iloc[0]:.3f} to {ours['map'].iloc[-1]:.3f}"] if len(ours) else []
        )
    axes[-1, 0].set_xlabel("code length (bits)")
    if not benchmarks:
        blank(axes[0, 0], "no benchmark scored")
    return figure, f"mAP against code length, means over the seeds. Ours {'; '.join(said) or 'is not drawn'}."


def _banded(coded: pd.DataFrame) -> set[str]:
    """Ours, and the other method of the best mean mAP."""
    others = coded[coded["method"] != OURS].groupby("method")["map"].mean()
    return {OURS, *([str(others.idxmax())] if len(others) else [])}


def _line(panel: Axes, method: str, rows: pd.DataFrame, banded: set[str]) -> tuple[float, float, str, str]:
    """Draw one method; the end of its line, its name and colour."""
    look, bits, values = face(method), rows["bits"].astype(float), rows["map"].astype(float)
    strong = method in banded
    front, width = (3 if method == OURS else 2), (2.0 if strong else 1.0)
    panel.plot(bits, values, look.marker, color=look.colour, linestyle=look.dashes, linewidth=width, markersize=4, zorder=front)
    if strong:
        panel.fill_between(bits, rows["low"].astype(float), rows["high"].astype(float), color=look.colour, alpha=0.18, zorder=1)
    return float(bits.iloc[-1]), float(values.iloc[-1]), look.label, look.colour


def mean_ranks(queries: pd.DataFrame, bits: int, methods: Sequence[str] = COMPARED) -> tuple[pd.Series, int]:
    """Each method's mean rank over the queries of all benchmarks (1: the highest AP; equal ones share), best first; and how many.

    AP is the mean over the seeds. Queries without positives are no question; a method that lacks a query is out.
    """
    rows = queries[(queries["bits"] == bits) & (queries["positives"] > 0) & queries["method"].isin(methods)]
    table = rows.pivot_table(index=["benchmark", "query"], columns="method", values="ap", aggfunc="mean").dropna(axis=1)
    return table.rank(axis=1, ascending=False).mean().sort_values(kind="stable"), len(table)


def critical_difference(methods: int, blocks: int, level: float = 0.05) -> float:
    """How far the mean ranks of two methods must be apart to differ at the level (Nemenyi; Demsar, JMLR 2006)."""
    return float(studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * blocks)))


@styled()
def critical_differences(queries: pd.DataFrame, lengths: Sequence[int]) -> Drawn:
    """Mean ranks over all queries, a panel a code length; methods joined by a bar do not differ (Nemenyi, level .05)."""
    found = {bits: mean_ranks(queries, bits) for bits in lengths}
    found = {bits: each for bits, each in found.items() if len(each[0]) > 1}
    most = max((len(ranks) for ranks, _ in found.values()), default=4)
    figure, axes = new_figure(max(len(found), 1), 1, height=0.3 + (0.75 + 0.1 * most) * max(len(found), 1))
    said = []
    for panel, (bits, (ranks, blocks)) in zip(axes[:, 0], found.items(), strict=False):
        apart = critical_difference(len(ranks), blocks)
        _draw_ranks(panel, ranks, apart)
        panel.set_title(f"{bits} bits: mean rank over {blocks} queries, critical difference {apart:.2f}", fontsize=9.5)
        place = list(ranks.index).index(OURS) + 1 if OURS in ranks.index else 0
        said.append(f"at {bits} bits {face(str(ranks.index[0])).label} leads with {ranks.iloc[0]:.2f}, ours is number {place}")
    if not found:
        blank(axes[0, 0], "fewer than two methods at any length")
    return figure, f"Mean ranks of the methods, 1 is best: {'; '.join(said) or 'none'}."


def _draw_ranks(panel: Axes, ranks: pd.Series, apart: float) -> None:
    """Ranks as points on a line with their names above and below, and bars over groups that do not differ."""
    half = (len(ranks) + 1) // 2
    panel.axhline(0, color=INK, linewidth=1)
    low, high = float(ranks.min()), float(ranks.max())
    for place, (method, rank) in enumerate(ranks.items()):
        look, left = face(str(method)), place < half
        depth = -(1 + (place if left else len(ranks) - 1 - place))
        edge = low - 0.06 * (high - low) if left else high + 0.06 * (high - low)
        panel.plot([rank, rank, edge], [0, depth, depth], color=look.colour, linewidth=1)
        panel.plot(rank, 0, look.marker, color=look.colour, zorder=3)
        weight = "bold" if method == OURS else "normal"
        side = "right" if left else "left"
        panel.text(edge, depth, f" {look.label}  {rank:.2f} ", ha=side, va="center", fontsize=8, weight=weight)
    alike = _cliques(ranks.to_numpy(), apart)
    for level, (first, last) in enumerate(alike):
        panel.plot(
            [ranks.iloc[first], ranks.iloc[last]], [0.5 + 0.45 * level] * 2, color=GREY, linewidth=3, solid_capstyle="butt"
        )
    panel.set(xlim=(low - 0.75 * (high - low), high + 0.75 * (high - low)), ylim=(-half - 0.8, 0.8 + 0.45 * len(alike)))
    panel.set_axis_off()


def _cliques(ranks: np.ndarray, apart: float) -> list[tuple[int, int]]:
    """The runs (first, last) of sorted ranks that lie within the critical difference, none inside another, none of one."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + apart, side="right")) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


@styled()
def verdicts(against: pd.DataFrame, methods: Sequence[str] = COMPARED) -> Drawn:
    """Ours less each method, a row a method, a column a benchmark and length, from reports/study/against.csv.

    Coloured and bold where the difference counts after Holm's correction.
    """
    order = [method for method in dict.fromkeys([*METHODS, *methods]) if method in set(against["method"]) and method in methods]
    columns = list(
        against[["benchmark", "bits"]].drop_duplicates().sort_values(["benchmark", "bits"]).itertuples(index=False, name=None)
    )
    figure, axes = new_figure(height=0.9 + 0.3 * max(len(order), 1))
    panel, counts = axes[0, 0], {"win": 0, "tie": 0, "loss": 0}
    shades = {"win": BETTER, "loss": WORSE, "tie": "#F4F4F4"}
    rows = against.set_index(["method", "benchmark", "bits"])
    for y, method in enumerate(order):
        for x, (benchmark, bits) in enumerate(columns):
            if (method, benchmark, bits) not in rows.index:
                continue
            row = rows.loc[(method, benchmark, bits)]
            counts[row["verdict"]] += 1
            strong = row["verdict"] != "tie"
            panel.barh(y, 0.96, left=x - 0.48, height=0.9, color=shades[row["verdict"]], alpha=0.45 if strong else 1)
            words, weight = f"{row['difference']:+.3f}".replace("-", "−"), "bold" if strong else "normal"
            panel.text(x, y, words, ha="center", va="center", fontsize=7.5, weight=weight)
    panel.set_yticks(range(len(order)), [face(method).label for method in order])
    panel.set_xticks(range(len(columns)), [str(bits) for _, bits in columns])
    panel.set(xlim=(-0.5, max(len(columns), 1) - 0.5), ylim=(max(len(order), 1) - 0.5, -0.5), xlabel="code length (bits)")
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    for benchmark in dict.fromkeys(name for name, _ in columns):
        places = [x for x, (name, _) in enumerate(columns) if name == benchmark]
        panel.text(np.mean(places), -0.62, benchmark_label(benchmark), ha="center", va="bottom", weight="bold", fontsize=9)
    if not order:
        blank(panel, "nothing to compare")
    told = f"{counts['win']} wins, {counts['tie']} ties, {counts['loss']} losses after Holm's correction"
    return figure, f"Difference in mAP, ours less each of {len(order)} methods: {told}."


@styled()
def ablation_bars(ablations: pd.DataFrame) -> Drawn:
    """What each change makes of our mAP, a panel a benchmark, with 95 % intervals over queries, from ablations.csv."""
    benchmarks = list(ablations["benchmark"].unique())
    names = list(dict.fromkeys(ablations["ablation"]))
    means = ablations.groupby("ablation")["difference"].mean()
    names.sort(key=lambda name: means[name])
    figure, axes = new_figure(1, max(len(benchmarks), 1), height=0.9 + 0.23 * max(len(names), 4), sharey=True, sharex=True)
    for panel, benchmark in zip(axes[0], benchmarks, strict=False):
        rows = ablations[ablations["benchmark"] == benchmark].set_index("ablation").reindex(names)
        sure = rows["p_holm"] < 0.05
        colours = np.where(sure, np.where(rows["difference"] > 0, BETTER, WORSE), "#C9C9C9")
        places = np.arange(len(rows))
        panel.barh(places, rows["difference"], color=colours, height=0.7)
        reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["difference"].to_numpy())
        panel.errorbar(rows["difference"], places, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.5)
        panel.axvline(0, color=INK, linewidth=1)
        panel.set(xlabel="difference in mAP", ylim=(-0.6, len(rows) - 0.4))
        panel.set_title(benchmark_label(benchmark), fontsize=9.5)
        panel.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    if not benchmarks:
        blank(axes[0, 0], "no ablation was run")
        return figure, "No ablation of our method was run."
    count = int((ablations["p_holm"] < 0.05).sum())
    worst, best = names[0].replace("_", " "), names[-1].replace("_", " ")
    said = f"{count} of {len(ablations)} differences count after Holm's correction"
    return (
        figure,
        f"{len(names)} ablations: worst on average {worst} ({means.min():+.3f}), best {best} ({means.max():+.3f}); {said}.",
    )
