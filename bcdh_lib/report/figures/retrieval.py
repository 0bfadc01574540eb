"""How well codes retrieve: mAP of every system, against bits, precision-recall, rankings as one sees them, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcdh_lib.comparison.significance import differences_of
from bcdh_lib.core.codes import distances
from bcdh_lib.core.tables import read_table
from bcdh_lib.report.figures.display import show
from bcdh_lib.report.figures.labels import benchmark_label, blank, counted, system_label
from bcdh_lib.report.figures.sheets import Sheet, shortened
from bcdh_lib.report.figures.style import DISSIMILAR, GREY, INK, METHODS, PAGE, SIMILAR, Drawn, face, new_figure, styled
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.score import OURS, System, load_codes, plain, read_benchmarks
from bcdh_lib.study import Study

BETTER, WORSE = SIMILAR, DISSIMILAR
"""The colours of a duel: which of two systems has the higher average precision."""


@styled()
def map_bars(summary: pd.DataFrame) -> Drawn:
    """mAP (trapezoid) of every system, a panel a benchmark, from the table of retrieval.summarise; the best system on top.

    The bar ends at the expectation over ties; whiskers reach from the worst to the best order of ties.
    """
    summary = summary.assign(system=[system_label(*row) for row in summary[["method", "bits"]].itertuples(index=False)])
    systems = summary.groupby("system", sort=False)["map"].mean().sort_values(kind="stable").index
    benchmarks = list(summary["benchmark"].unique())
    figure, axes = new_figure(1, max(len(benchmarks), 1), height=0.9 + 0.24 * max(len(systems), 4), sharey=True, sharex=True)
    for panel, benchmark in zip(axes[0], benchmarks, strict=False):
        rows = summary[summary["benchmark"] == benchmark].set_index("system").reindex(systems)
        places = np.arange(len(rows))
        panel.barh(places, rows["map"], color=[face(method).colour for method in rows["method"].fillna("")], height=0.72)
        bounds = np.abs(rows[["map_worst", "map_best"]].T.to_numpy() - rows["map"].to_numpy())
        panel.errorbar(rows["map"], places, xerr=bounds, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        for place, (value, best) in enumerate(rows[["map", "map_best"]].itertuples(index=False)):
            if np.isfinite(value):
                panel.text(max(value, best) + 0.02, place, f"{value:.3f}", va="center", fontsize=8)
        panel.set(xlabel="mAP", ylim=(-0.6, len(rows) - 0.4))
        panel.set_title(benchmark_label(benchmark), fontsize=9.5)
        panel.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(systems)), systems)
    axes[0, 0].set_xlim(0, 1.16 * float(summary["map_best"].max()) + 0.04 if len(summary) else 1)
    if not benchmarks:
        blank(axes[0, 0], "no benchmark scored")
    for label in axes[0, 0].get_yticklabels():
        label.set_weight("bold" if "(ours)" in label.get_text() else "normal")
    return figure, f"Bars of mAP. {_best_of(summary)}"


def _best_of(summary: pd.DataFrame) -> str:
    best = summary.loc[summary.groupby("benchmark", sort=False)["map"].idxmax()] if len(summary) else summary
    said = [
        f"{benchmark_label(row['benchmark'])}: best is {system_label(row['method'], row['bits'])} with {row['map']:.3f}"
        for _, row in best.iterrows()
    ]
    return "; ".join(said) + "." if said else "No benchmark was scored."


@styled()
def map_by_bits(summary: pd.DataFrame) -> Drawn:
    """mAP against code length, a panel a benchmark, from the table of retrieval.summarise.

    A method at several lengths is a line, its band reaching from the worst to the best order of ties; one at a single length is a
    point; real vectors, which have no length, are level lines.
    """
    benchmarks = list(summary["benchmark"].unique())
    figure, axes = new_figure(1, max(len(benchmarks), 1), height=3.6, sharey=True, sharex=True)
    lengths = sorted({int(bits) for bits in summary["bits"].dropna()})
    for panel, benchmark in zip(axes[0], benchmarks, strict=False):
        for method, rows in _by_method(summary[summary["benchmark"] == benchmark]):
            _draw_method(panel, method, rows.sort_values("bits"))
        panel.set_xscale("log", base=2)
        panel.set_xticks(lengths, lengths)
        panel.minorticks_off()
        panel.set(title=benchmark_label(benchmark), xlabel="code length (bits)")
        if lengths:
            panel.set_xlim(lengths[0] / 1.2, lengths[-1] * 1.2)
    axes[0, 0].set_ylabel("mAP")
    _share_legend(figure, axes[0])
    ours = summary[(summary["method"] == OURS) & summary["bits"].notna()].sort_values("bits")
    said = [
        f"on {benchmark_label(str(benchmark))} from {rows['map'].iloc[0]:.3f} to {rows['map'].iloc[-1]:.3f}"
        for benchmark, rows in ours.groupby("benchmark", sort=False)
    ]
    return (
        figure,
        f"mAP against code length, {', '.join(map(str, lengths)) or 'no'} bits. Ours {'; '.join(said) or 'is not drawn'}.",
    )


def _by_method(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each method, in the order of style.METHODS, methods without a face last."""
    order = list(dict.fromkeys([*METHODS, *rows["method"]]))
    return sorted(((str(method), part) for method, part in rows.groupby("method")), key=lambda pair: order.index(pair[0]))


def _draw_method(axes: Axes, method: str, rows: pd.DataFrame) -> None:
    """One method's mAP by code length; `rows` are sorted by bits."""
    look = face(method)
    if rows["bits"].isna().all():
        axes.axhline(rows["map"].iloc[0], color=look.colour, linestyle=look.dashes, linewidth=1.4, label=look.label)
        return
    bits, values = rows["bits"].astype(float), rows["map"].astype(float)
    front = 3 if method == OURS else 2
    axes.plot(bits, values, look.marker, color=look.colour, linestyle=look.dashes, label=look.label, zorder=front)
    if len(rows) > 1:
        axes.fill_between(bits, rows["map_worst"].astype(float), rows["map_best"].astype(float), color=look.colour, alpha=0.13)


def _share_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend below all panels, each name once."""
    named: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3, handlelength=3)


@styled()
def precision_recall(curves: pd.DataFrame, bits: int = 64) -> Drawn:
    """Precision at each recall, mean over queries, a panel a benchmark: the systems of `bits` bits and those of real vectors.

    `curves` is the table of retrieval.curves: benchmark, method, bits, recall, precision.
    """
    chosen = curves[curves["bits"].isna() | (curves["bits"] == bits)]
    benchmarks = list(chosen["benchmark"].unique())
    figure, axes = new_figure(1, max(len(benchmarks), 1), height=3.6, sharey=True, sharex=True)
    for panel, benchmark in zip(axes[0], benchmarks, strict=False):
        for method, rows in _by_method(chosen[chosen["benchmark"] == benchmark]):
            look, rows, front = face(method), rows.sort_values("recall"), 3 if method == OURS else 2
            line = {"color": look.colour, "linestyle": look.dashes, "label": look.label, "zorder": front}
            panel.plot(rows["recall"], rows["precision"], look.marker, markevery=4, markersize=4, **line)
        panel.set(title=benchmark_label(benchmark), xlabel="recall", xlim=(0, 1.02), ylim=(0, 1.02))
    axes[0, 0].set_ylabel("precision")
    if not benchmarks:
        blank(axes[0, 0], f"no curve of {bits} bits")
    _share_legend(figure, axes[0])
    ours = chosen[(chosen["method"] == OURS) & np.isclose(chosen["recall"], 0.5)]
    said = [f"{row.precision:.2f} on {benchmark_label(str(row.benchmark))}" for row in ours.itertuples()]
    return figure, f"Precision against recall at {bits} bits. Ours at half recall: {', '.join(said) or 'not drawn'}."


def ranking_gallery(benchmark: Benchmark, distances: NDArray, queries: Sequence[str], k: int = 7, unit: str = "bits") -> Drawn:
    """Each query, by its name, and its k nearest photos with their distances, hits, misses and junk framed by colour and symbol.

    `distances` [queries, database] are a system's, in `unit`; equal ones stand in the database's order (photographic). Junk is
    shown where it ranks, though scoring drops it. Raises ValueError where a name is no query's.
    """
    rows = {query.name: row for row, query in enumerate(benchmark.queries)}
    unknown = [name for name in queries if name not in rows]
    if unknown:
        raise ValueError(f"{benchmark.name}: has no query {unknown[0]}; its queries are {', '.join(list(rows)[:5])}, ..")
    k = min(k, len(benchmark.photos))
    gap, line, head = 0.07, 0.34, 0.3
    wide = (PAGE - 0.25 - gap * (k + 2)) / (k + 1)
    high = 0.8 * wide
    sheet = Sheet(head + max(len(queries), 1) * (high + line) + gap)
    sheet.text(gap + wide / 2, 0.21, "query", 9, va="baseline")
    sheet.text(0.25 + 2 * gap + wide, 0.21, "nearest first:  ✓ hit   ✗ miss   – junk, not scored", 9, "left", "baseline")
    hits = 0
    for number, name in enumerate(queries):
        query, top = benchmark.queries[rows[name]], head + number * (high + line)
        sheet.photo(benchmark.photo_of(query), (gap, top, wide, high), "query", query.box)
        sheet.text(gap + wide / 2, top + high + 0.03, f"{shortened(name)}\n{counted(len(query.positives), 'positive')}", 7.5)
        order = np.argsort(distances[rows[name]], kind="stable")[:k]
        for place, photo in enumerate(order):
            stem = list(benchmark.photos)[photo]
            mark, left = _mark(query, stem), 0.25 + 2 * gap + wide + place * (wide + gap)
            hits += mark == "hit"
            sheet.photo(benchmark.photos[stem], (left, top, wide, high), mark)
            sheet.text(left + wide / 2, top + high + 0.03, _distance(distances[rows[name], photo], unit), 7.5)
    alt = f"{counted(len(queries), 'query', 'queries')} of {benchmark_label(benchmark.name)}, each with its {k} "
    return sheet.figure, f"{alt}nearest photos; {hits} of the {len(queries) * k} photos are hits."


def show_rankings(study: Study, method: str = OURS, bits: int | None = 64, worst: int = 4) -> None:
    """Show what a system ranks first for the queries that it answers worst, on every benchmark of retrieval.benchmarks."""
    system, queries = System(method, bits), plain(read_table(study.reports_of("retrieval"), "queries"))
    for benchmark in read_benchmarks(study):
        names = worst_queries(queries, benchmark.name, system, worst)
        caption = (
            f"**{benchmark_label(benchmark.name)}**: the {len(names)} queries that {system_label(method, bits)} answers worst."
        )
        unit = "bits" if bits else ""
        show(
            *ranking_gallery(benchmark, distances(*load_codes(study, benchmark, system)), names, unit=unit),
            caption=caption,
            photographic=True,
        )


def worst_queries(queries: pd.DataFrame, benchmark: str, system: System, count: int) -> list[str]:
    """The queries of a benchmark, by name, that a system answers worst, worst first; those without positives are no question."""
    bits = queries["bits"].isna() if system.bits is None else queries["bits"] == system.bits
    rows = queries[(queries["benchmark"] == benchmark) & (queries["method"] == system.method) & bits & (queries["positives"] > 0)]
    return rows.sort_values(["ap", "query"])["query"].head(count).tolist()


def _mark(query: Query, photo: str) -> str:
    return "junk" if photo in query.junk else "hit" if photo in query.positives else "miss"


def _distance(value: Any, unit: str) -> str:
    return f"{int(value)} {unit}" if np.issubdtype(type(value), np.integer) else f"{value:.3f} {unit}".rstrip()


@styled()
def query_differences(queries: pd.DataFrame, other: str, bits: int = 64, ours: str = OURS) -> Drawn:
    """Average precision query by query, ours less another method's, at `bits` bits (real vectors where the method has no bits):
    bars from the best to the worst query, and their histogram; a row a benchmark. `queries` is the table of that name."""
    differences = differences_of(queries, ours, other, bits)
    benchmarks = list(differences.index.get_level_values("benchmark").unique())
    figure, axes = new_figure(
        max(len(benchmarks), 1), 2, height=0.5 + 2 * max(len(benchmarks), 1), sharey=True, width_ratios=[3, 1]
    )
    said = []
    for (bars, counts), benchmark in zip(axes, benchmarks, strict=False):
        values = np.sort(differences.xs(benchmark, level="benchmark").to_numpy())[::-1]
        better, worse = int((values > 0).sum()), int((values < 0).sum())
        mean = f"{values.mean():+.3f}".replace("-", "−")
        bars.bar(range(len(values)), values, color=np.where(values > 0, BETTER, WORSE), width=0.9)
        bars.axhline(0, color=GREY, linewidth=1)
        bars.axhline(values.mean(), color=INK, linewidth=1.2, linestyle="--")
        rival = face(other).label
        bars.set_title(
            f"{benchmark_label(benchmark)}: ours better on {better} of {len(values)}, {rival} on {worse}", fontsize=9.5
        )
        bars.set_xlim(-1, len(values))
        bars.set_ylabel("difference in AP")
        bars.grid(axis="x", visible=False)
        edges = np.linspace(-1, 1, 41)
        counts.hist(values[values > 0], edges[edges >= 0], orientation="horizontal", color=BETTER)
        counts.hist(values[values < 0], edges[edges <= 0], orientation="horizontal", color=WORSE)
        counts.barh(0, len(values) - better - worse, height=0.02, color=GREY)
        counts.axhline(values.mean(), color=INK, linewidth=1.2, linestyle="--")
        counts.set_title(f"mean (dashed) {mean}", fontsize=9.5)
        said.append(f"{benchmark_label(benchmark)}: better on {better}, worse on {worse}, mean difference {mean}")
    axes[-1, 0].set_xlabel("queries, from the best for us to the worst")
    axes[-1, 1].set_xlabel("queries")
    if said:
        reach = 1.08 * max(float(differences.abs().max()), 0.05)
        axes[0, 0].set_ylim(-reach, reach)
    else:
        for panel in axes.flat:
            blank(panel, "no query in common")
    names = f"{system_label(ours, bits)} less {face(other).label}"
    return figure, f"Difference in average precision, {names}. {'; '.join(said) or 'No query in common'}."
