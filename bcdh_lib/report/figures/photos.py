"""The photo collection and the benchmarks: contact sheets, and how large the photos are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture
from bcdh_lib.report.figures.labels import benchmark_label, blank, counted
from bcdh_lib.report.figures.sheets import ImageOf, Sheet, evenly, photo_sheet, shortened
from bcdh_lib.report.figures.style import BLUE, GREY, PAGE, new_figure, styled
from bcdh_lib.retrieval.benchmarks import Benchmark


def contact_sheet(photos: pd.DataFrame, image: ImageOf, shown: int = 48) -> PhotoPicture:
    """A sample of the table `photos`, spread evenly, each photo with its photo_id."""
    chosen = photos["photo_id"].iloc[evenly(len(photos), shown)].tolist()
    alt = f"{len(chosen)} of the collection's {counted(len(photos), 'photo')}, spread evenly, each with its photo_id."
    return PhotoPicture(photo_sheet([(image(photo), str(photo)) for photo in chosen]), alt)


@styled()
def sizes(photos: pd.DataFrame) -> Picture:
    """The longer side and the shape of the photos as taken, from the table `photos`."""
    width, height = photos["width"].to_numpy(dtype=float), photos["height"].to_numpy(dtype=float)
    figure, axes = new_figure(1, 2, height=2.8, sharey=False)
    side, form = axes[0]
    if photos.empty:
        blank(side, "no photo")
        blank(form, "no photo")
        return Picture(figure, "There is no photo to measure.")
    longer, shape = np.maximum(width, height), width / height
    upright = int((shape < 1).sum())
    side.hist(longer, np.linspace(0, longer.max(), 41).tolist(), color=BLUE)
    side.set_title(f"median {np.median(longer):,.0f} px", fontsize=10)
    side.set(xlabel="longer side (px)", ylabel="photos", xlim=(0, 1.03 * longer.max()))
    octaves = max(1, int(np.ceil(np.abs(np.log2(shape)).max())))
    form.hist(np.log2(shape), np.linspace(-octaves, octaves, 40 * octaves + 1).tolist(), color=BLUE)
    form.axvline(0, color=GREY, linewidth=1)
    form.set_title(f"{upright:,} portrait, {len(photos) - upright:,} landscape", fontsize=10)
    ticks = [(1, 2**octaves), (2, 3), (1, 1), (3, 2), (2**octaves, 1)]
    form.set_xticks([np.log2(wide / high) for wide, high in ticks], [f"{wide}:{high}" for wide, high in ticks])
    form.set_xlabel("width : height")
    alt = (
        f"Histograms of {counted(len(photos), 'photo')}: longer side from {longer.min():,.0f} to {longer.max():,.0f} px, "
        f"median {np.median(longer):,.0f} px; {upright:,} are higher than wide."
    )
    return Picture(figure, alt)


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
