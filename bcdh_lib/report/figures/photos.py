"""The photo collection and the benchmarks as contact sheets."""

from __future__ import annotations

import pandas as pd

from bcdh_lib.report.figures.display import Gallery, PhotoPicture
from bcdh_lib.report.figures.labels import benchmark_label, counted
from bcdh_lib.report.figures.sheets import ImageOf, Sheet, evenly, photo_sheet, shortened
from bcdh_lib.report.figures.style import PAGE
from bcdh_lib.retrieval.benchmarks import Benchmark


def contact_sheet(photos: pd.DataFrame, image: ImageOf, shown: int = 48) -> PhotoPicture:
    """A sample of the table `photos`, spread evenly, each photo with its photo_id."""
    chosen = photos["photo_id"].iloc[evenly(len(photos), shown)].tolist()
    alt = f"{len(chosen)} of the collection's {counted(len(photos), 'photo')}, spread evenly, each with its photo_id."
    return PhotoPicture(photo_sheet([(image(photo), str(photo)) for photo in chosen]), alt)


def benchmark_sheets(benchmarks: list[Benchmark]) -> Gallery:
    """A sheet and its caption for each benchmark."""
    gallery = Gallery()
    for benchmark in benchmarks:
        counts = f"{counted(len(benchmark.photos), 'photo')}, {counted(len(benchmark.queries), 'query', 'queries')}"
        gallery += [benchmark_sheet(benchmark), f"**{benchmark_label(benchmark.name)}**: {counts}."]
    return gallery


def benchmark_sheet(benchmark: Benchmark, queries: int = 4, positives: int = 4, junk: int = 2) -> PhotoPicture:
    """Some queries with their boxes, spread evenly, each with some of its positives and of its junk."""
    chosen = [benchmark.queries[place] for place in evenly(len(benchmark.queries), queries)]
    columns, gap, line, head = 1 + positives + junk, 0.07, 0.22, 0.32
    wide = (PAGE - 0.4 - gap * (columns + 1)) / columns
    high = 0.8 * wide
    sheet = Sheet(head + max(len(chosen), 1) * (high + line) + gap)
    lefts = [gap + place * (wide + gap) + 0.2 * ((place > 0) + (place > positives)) for place in range(columns)]
    for words, left in (("query", lefts[0]), ("✓ positives", lefts[1]), ("– junk, not scored", lefts[1 + positives])):
        sheet.text(left, 0.21, words, 9, "left", "baseline")
    for number, query in enumerate(chosen):
        top = head + number * (high + line)
        sheet.photo(benchmark.photo_of(query), (lefts[0], top, wide, high), "query", query.box)
        sheet.text(lefts[0] + wide / 2, top + high + 0.03, shortened(query.name), 7.5)
        for names, mark, places in (
            (query.positives, "hit", lefts[1 : 1 + positives]),
            (query.junk, "junk", lefts[1 + positives :]),
        ):
            ordered = sorted(names, key=lambda name: (name == query.photo, name))[: len(places)]
            for name, left in zip(ordered, places, strict=False):
                sheet.photo(benchmark.photos[name], (left, top, wide, high), mark)
            words = f"{len(ordered)} of {len(names)}" if names else "none"
            sheet.text(places[0] + wide / 2, top + high + 0.03, words, 7.5)
    alt = (
        f"{counted(len(chosen), 'query', 'queries')} of the {len(benchmark.queries)} of {benchmark_label(benchmark.name)}, "
        f"{counted(len(benchmark.photos), 'photo')} large, with up to {positives} of their positives and {junk} of their junk."
    )
    return PhotoPicture(sheet.figure, alt)
