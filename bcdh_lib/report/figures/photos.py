"""The benchmarks as contact sheets."""

from __future__ import annotations

from bcdh_lib.report.figures.display import Gallery, PhotoPicture
from bcdh_lib.report.figures.sheets import Tile, evenly, photo_rows, shortened
from bcdh_lib.report.figures.style import benchmark_label, counted
from bcdh_lib.retrieval.benchmarks import Benchmark


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
    heads = {0: "query", 1: "✓ some positives, then – some junk, which is not scored"}
    alt = (
        f"{counted(len(rows), 'query', 'queries')} of the {len(benchmark.queries)} of {benchmark_label(benchmark.name)}, "
        f"{counted(len(benchmark.photos), 'photo')} large, with up to {positives} of their positives and {junk} of their junk."
    )
    return PhotoPicture(photo_rows(rows, 1 + positives + junk, heads, apart=[1]).figure, alt)
