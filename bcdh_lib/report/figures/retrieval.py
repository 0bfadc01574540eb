"""The benchmarks, and how well codes retrieve: codes bit by bit, and rankings as one sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture
from bcdh_lib.report.figures.sheets import Tile, evenly, photo_rows, shortened
from bcdh_lib.report.figures.style import BCDH, BLUE, ORANGE, benchmark_label, counted, new_figure, styled
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmark, read_benchmarks
from bcdh_lib.retrieval.codes import read_codes
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study


@styled()
def code_rows(codes: Mapping[str, NDArray[np.uint8]]) -> Picture:
    """Packed codes [L/8], each below its name, as squares, filled if the bit is 1; orange bits differ from the first code."""
    bits = {name: np.unpackbits(code, bitorder="little") for name, code in codes.items()}
    first = next(iter(bits.values()))
    figure, axes = new_figure(len(bits), 1, height=0.1 + len(bits) * (0.28 + 0.13 * -(-len(first) // 64)))
    apart = []
    for panel, (name, code) in zip(axes[:, 0], bits.items(), strict=True):
        apart.append(f"{name}: {int((code != first).sum())} of {len(first)} bits differ")
        panel.set_title(apart[-1] if len(apart) > 1 else name, fontsize=9, weight="normal", pad=2)
        panel.set(xlim=(-0.5, 64), ylim=(-(-len(first) // 64), -0.1), aspect="equal")
        panel.set_axis_off()
        draw_code(panel, code, code != first, (0, 0), 1, 64)
    return Picture(figure, f"Codes bit by bit, compared with that of {next(iter(bits))}. {'; '.join(apart[1:])}.")


def draw_code(
    axes: Axes, bits: NDArray[np.uint8], differs: NDArray[np.bool_], corner: tuple[float, float], side: float, columns: int
) -> None:
    """A code as rows of squares of `side`, filled if the bit is 1, those that differ in the other colour."""
    for place, (bit, other) in enumerate(zip(bits, differs, strict=True)):
        row, column = divmod(place, columns)
        where, colour = (corner[0] + column * side, corner[1] + row * side), ORANGE if other else BLUE
        look: Any = {"facecolor": colour if bit else "none", "edgecolor": colour, "linewidth": 0.8}
        axes.add_patch(Rectangle(where, 0.8 * side, 0.8 * side, **look))


def ranking_gallery(
    benchmark: Benchmark, distances: NDArray, queries: Sequence[str], k: int = 7, unit: str = "bits"
) -> PhotoPicture:
    """Each query, by its name, and its k nearest photos with their distances; hits, misses and junk are framed.

    `distances` [queries, database] are a system's, in `unit`; equal ones keep the database's order. Junk is shown at its rank,
    though it is not scored. Raises ValueError if a name is no query's.
    """
    numbers = {query.name: number for number, query in enumerate(benchmark.queries)}
    unknown = [name for name in queries if name not in numbers]
    if unknown:
        raise ValueError(f"{benchmark.name}: has no query {unknown[0]}; its queries are {', '.join(list(numbers)[:5])}, ..")
    names, rows, hits = list(benchmark.photos), [], 0
    for name in queries:
        query, found = benchmark.queries[numbers[name]], distances[numbers[name]]
        words = f"{shortened(name)}\n{counted(len(query.positives), 'positive')}"
        row = [Tile(benchmark.photo_of(query), words, "query", query.box)]
        for place in np.argsort(found, kind="stable")[:k]:
            photo = names[place]
            mark = "junk" if photo in query.junk else "hit" if photo in query.positives else "miss"
            hits += mark == "hit"
            value = f"{int(found[place])}" if np.issubdtype(found.dtype, np.integer) else f"{found[place]:.3f}"
            row.append(Tile(benchmark.photos[photo], f"{value} {unit}".rstrip(), mark))
        rows.append(row)
    heads, k = {0: "query", 1: "nearest first:  ✓ hit   ✗ miss   – junk, not scored"}, min(k, len(names))
    alt = f"{counted(len(queries), 'query', 'queries')} of {benchmark_label(benchmark.name)}, each with its {k} "
    sheet = photo_rows(rows, 1 + k, heads, apart=[1])
    return PhotoPicture(sheet.figure, f"{alt}nearest photos; {hits} of the {len(queries) * k} photos are hits.")


def rankings(
    study: Study, names: Sequence[str] | None = None, benchmark: str | None = None, method: str = BCDH, bits: int | None = 64
) -> PhotoPicture:
    """What a system ranks first for some queries of a benchmark; default: four of the first benchmark, spread evenly."""
    chosen = read_benchmark(study, benchmark) if benchmark else read_benchmarks(study)[0]
    names = [chosen.queries[place].name for place in evenly(len(chosen.queries), 4)] if names is None else names
    codes = read_codes(study, chosen, System(method, bits))
    return ranking_gallery(chosen, distances(codes.queries, codes.database), names, unit="bits" if bits else "")


def benchmark_sheets(benchmarks: list[Benchmark]) -> Gallery:
    """A sheet and its caption for each benchmark."""
    gallery = Gallery()
    for benchmark in benchmarks:
        counts = f"{counted(len(benchmark.photos), 'photo')}, {counted(len(benchmark.queries), 'query', 'queries')}"
        gallery += [benchmark_sheet(benchmark), f"**{benchmark_label(benchmark.name)}**: {counts}."]
    return gallery


def benchmark_sheet(benchmark: Benchmark, queries: int = 4, positives: int = 4, junk: int = 2) -> PhotoPicture:
    """Some queries with their boxes, spread evenly, each with some of its positives and of its junk."""
    rows = []
    for query in (benchmark.queries[place] for place in evenly(len(benchmark.queries), queries)):
        row = [Tile(benchmark.photo_of(query), shortened(query.name), "query", query.box)]
        for names, mark, most in ((query.positives, "hit", positives), (query.junk, "junk", junk)):
            found = sorted(names, key=lambda name: (name == query.photo, name))[:most]
            row += [
                Tile(benchmark.photos[name], "" if place else f"{len(found)} of {len(names)}", mark)
                for place, name in enumerate(found)
            ]
        rows.append(row)
    heads = {0: "query", 1: "✓ some positives, – some junk (not scored)"}
    alt = (
        f"{len(rows)} of the {counted(len(benchmark.queries), 'query', 'queries')} of {benchmark_label(benchmark.name)} "
        f"({counted(len(benchmark.photos), 'photo')}), each with up to {positives} positives and {junk} junk photos."
    )
    return PhotoPicture(photo_rows(rows, 1 + positives + junk, heads, apart=[1]).figure, alt)
