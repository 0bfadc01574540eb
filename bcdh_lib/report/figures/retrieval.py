"""How well codes retrieve: precision and recall, and rankings as one sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture
from bcdh_lib.report.figures.labels import benchmark_label, blank, counted, system_label
from bcdh_lib.report.figures.sheets import Sheet, evenly, shortened
from bcdh_lib.report.figures.style import BCDH, PAGE, face, in_order, new_figure, styled
from bcdh_lib.retrieval.benchmarks import Benchmark, Query, read_benchmarks
from bcdh_lib.retrieval.codes import read_codes
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study


@styled()
def precision_recall(curves: pd.DataFrame, bits: int = 64) -> Picture:
    """Precision at each recall, mean over queries, a panel for each benchmark: codes of `bits` bits and real vectors.

    curves: the table curves.csv with benchmark, method, bits, recall, precision.
    """
    chosen = curves[curves["bits"].isna() | (curves["bits"] == bits)]
    benchmarks = list(chosen["benchmark"].unique())
    figure, axes = new_figure(1, max(len(benchmarks), 1), height=3.6, sharey=True, sharex=True)
    for panel, benchmark in zip(axes[0], benchmarks, strict=False):
        rows = chosen[chosen["benchmark"] == benchmark]
        for method in in_order(rows["method"]):
            look, line = face(method), rows[rows["method"] == method].sort_values("recall")
            style: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes, "label": look.label}
            front = 3 if method == BCDH else 2
            panel.plot(line["recall"], line["precision"], look.marker, markevery=4, markersize=4, zorder=front, **style)
        panel.set(title=benchmark_label(str(benchmark)), xlabel="recall", xlim=(0, 1.02), ylim=(0, 1.02))
    axes[0, 0].set_ylabel("precision")
    named = {label: handle for panel in axes[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3, handlelength=3)
    else:
        blank(axes[0, 0], f"no curve of {bits} bits")
    own = chosen[(chosen["method"] == BCDH) & np.isclose(chosen["recall"], 0.5)]
    halves = [f"{row.precision:.2f} on {benchmark_label(str(row.benchmark))}" for row in own.itertuples()]
    return Picture(figure, f"Precision against recall at {bits} bits. BCDH at half recall: {', '.join(halves) or 'not drawn'}.")


def ranking_gallery(
    benchmark: Benchmark, distances: NDArray, queries: Sequence[str], k: int = 7, unit: str = "bits"
) -> PhotoPicture:
    """Each query, by its name, and its k nearest photos with their distances; hits, misses and junk are framed.

    `distances` [queries, database] are a system's, in `unit`; equal ones keep the database's order. Junk is shown at its rank,
    though it is not scored. Raises ValueError if a name is no query's.
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
    names, hits = list(benchmark.photos), 0
    for number, name in enumerate(queries):
        query, top = benchmark.queries[rows[name]], head + number * (high + line)
        sheet.photo(benchmark.photo_of(query), (gap, top, wide, high), "query", query.box)
        sheet.text(gap + wide / 2, top + high + 0.03, f"{shortened(name)}\n{counted(len(query.positives), 'positive')}", 7.5)
        for place, photo in enumerate(np.argsort(distances[rows[name]], kind="stable")[:k]):
            mark, left = _mark(query, names[photo]), 0.25 + 2 * gap + wide + place * (wide + gap)
            hits += mark == "hit"
            sheet.photo(benchmark.photos[names[photo]], (left, top, wide, high), mark)
            sheet.text(left + wide / 2, top + high + 0.03, _distance(distances[rows[name], photo], unit), 7.5)
    alt = f"{counted(len(queries), 'query', 'queries')} of {benchmark_label(benchmark.name)}, each with its {k} "
    return PhotoPicture(sheet.figure, f"{alt}nearest photos; {hits} of the {len(queries) * k} photos are hits.")


def rankings(study: Study, count: int = 4, method: str = BCDH, bits: int | None = 64) -> PhotoPicture:
    """What a system ranks first for some queries of the first benchmark, spread evenly."""
    benchmark = read_benchmarks(study)[0]
    names = [benchmark.queries[place].name for place in evenly(len(benchmark.queries), count)]
    return ranking_gallery(benchmark, _distances(study, benchmark, method, bits), names, unit="bits" if bits else "")


def worst_rankings(study: Study, queries: pd.DataFrame, method: str = BCDH, bits: int | None = 64, worst: int = 4) -> Gallery:
    """What a system ranks first for the queries that it answers worst, for each benchmark. queries: the table `queries`."""
    gallery = Gallery()
    for benchmark in read_benchmarks(study):
        names = worst_queries(queries, benchmark.name, method, bits, worst)
        caption = f"**{benchmark_label(benchmark.name)}**: the queries that {system_label(method, bits)} answers worst."
        found = _distances(study, benchmark, method, bits)
        gallery += [ranking_gallery(benchmark, found, names, unit="bits" if bits else ""), caption]
    return gallery


def _distances(study: Study, benchmark: Benchmark, method: str, bits: int | None) -> NDArray:
    codes = read_codes(study, benchmark, System(method, bits))
    return distances(codes.queries, codes.database)


def worst_queries(queries: pd.DataFrame, benchmark: str, method: str, bits: int | None, count: int) -> list[str]:
    """The queries of a benchmark, by name, that a system answers worst, worst first; queries without positives do not count."""
    same = queries["bits"].isna() if bits is None else queries["bits"] == bits
    rows = queries[(queries["benchmark"] == benchmark) & (queries["method"] == method) & same & (queries["positives"] > 0)]
    return rows.sort_values(["ap", "query"])["query"].head(count).tolist()


def _mark(query: Query, photo: str) -> str:
    return "junk" if photo in query.junk else "hit" if photo in query.positives else "miss"


def _distance(value: Any, unit: str) -> str:
    return f"{int(value)} {unit}" if np.issubdtype(type(value), np.integer) else f"{value:.3f} {unit}".rstrip()
