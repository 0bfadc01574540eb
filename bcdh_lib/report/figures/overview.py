"""The pipeline in one picture, made from this run: photos, a 3D model, a pair, two codes, a ranking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances
from bcdh_lib.core.tables import read_table
from bcdh_lib.report.figures.display import PhotoPicture
from bcdh_lib.report.figures.models import Model, projected, read_model
from bcdh_lib.report.figures.sheets import Sheet, evenly
from bcdh_lib.report.figures.style import BCDH, BLUE, GREY, ORANGE
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmarks
from bcdh_lib.retrieval.codes import read_codes
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study

WIDE, GAP, TOP, HIGH = 1.25, 0.3, 0.34, 1.5  # inches: a column, the space between two, the top and the height of pictures


def pipeline(study: Study, bits: int = 64) -> PhotoPicture:
    """The five steps from left to right: photos, the largest model, a similar pair, two codes, a ranking."""
    photos = read_table(study.photos, "photos")["photo_id"]
    largest = int(read_table(study.reconstruction, "registrations")["model_id"].value_counts().idxmax())
    pairs = read_table(study.pairs, "pairs").sort_values("shared_points", kind="stable")
    pair = pairs.iloc[3 * len(pairs) // 4]
    benchmark = read_benchmarks(study)[0]
    coded = read_codes(study, benchmark, System(BCDH, bits))
    number, order = _good_query(benchmark, distances(coded.queries, coded.database))
    query, names = benchmark.queries[number], list(benchmark.photos)
    codes = np.unpackbits(np.stack([coded.queries[number], coded.database[order[0]]]), axis=1, bitorder="little")
    ranking = [(benchmark.photos[names[place]], "hit" if names[place] in query.positives else "miss") for place in order[:5]]
    return draw_pipeline(
        [study.image(photo) for photo in photos.iloc[evenly(len(photos), 9)]],
        read_model(study.reconstruction / "models" / str(largest)),
        (study.image(int(pair["query_id"])), study.image(int(pair["positive_id"]))),
        codes,
        [(benchmark.photo_of(query), "query"), *ranking],
    )


def _good_query(benchmark: Benchmark, found: NDArray) -> tuple[int, NDArray[np.int64]]:
    """The first query whose nearest photo is a hit, and the database in its order without junk; else the first query."""
    names = list(benchmark.photos)
    orders = []
    for query, row in zip(benchmark.queries, found, strict=True):
        order = np.array([place for place in np.argsort(row, kind="stable") if names[place] not in query.junk])
        orders.append(order)
        if names[order[0]] in query.positives:
            return len(orders) - 1, order
    return 0, orders[0]


def draw_pipeline(
    photos: list[Path], model: Model, pair: tuple[Path, Path], codes: NDArray[np.uint8], ranking: list[tuple[Path, str]]
) -> PhotoPicture:
    """The picture itself. codes: the bits [2, L] of a query and its nearest photo; ranking: photos with marks of MARKS."""
    sheet = Sheet(TOP + HIGH + 0.3)
    lefts = [0.05 + column * (WIDE + GAP) for column in range(5)]
    apart = int((codes[0] != codes[1]).sum())
    heads = ("Photos", "3D model", "Similar pair", "Codes", "Ranking")
    notes = (
        "that nobody labelled",
        "by COLMAP",
        "shares 3D points",
        f"{apart} of {codes.shape[1]} bits differ",
        "of unseen places",
    )
    for left, head, note in zip(lefts, heads, notes, strict=True):
        sheet.text(left, 0.2, head, 10, "left", "baseline")
        sheet.text(left, TOP + HIGH + 0.06, note, 8, "left")
    for left in lefts[1:]:
        ends = ((left - 0.05, TOP + HIGH / 2), (left - GAP + 0.03, TOP + HIGH / 2))
        sheet.axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": GREY})
    for place, photo in enumerate(photos[:9]):
        row, column = divmod(place, 3)
        sheet.photo(photo, (lefts[0] + column * WIDE / 3, TOP + row * HIGH / 3, WIDE / 3 - 0.03, HIGH / 3 - 0.03))
    _draw_model(sheet, model, lefts[1])
    for row, photo in enumerate(pair):
        sheet.photo(photo, (lefts[2], TOP + row * HIGH / 2, WIDE, HIGH / 2 - 0.05))
        _draw_code(sheet, codes[row], codes[0] != codes[1], lefts[3], TOP + row * HIGH / 2 + 0.12)
    for place, (photo, mark) in enumerate(ranking[:6]):
        row, column = divmod(place, 2)
        sheet.photo(photo, (lefts[4] + column * WIDE / 2, TOP + row * HIGH / 3, WIDE / 2 - 0.04, HIGH / 3 - 0.04), mark)
    alt = (
        f"The pipeline from left to right: photos of the collection; {model}; two photos that share 3D points; two codes of "
        f"{codes.shape[1]} bits, {apart} of which differ; a query and the photos ranked first."
    )
    return PhotoPicture(sheet.figure, alt)


def _draw_model(sheet: Sheet, model: Model, left: float) -> None:
    """Points and cameras of the model, projected along the line of sight, in the place of the second column."""
    points, lines = (each * [1, -1] for each in projected(model))  # y is downwards on a sheet
    low, high = np.percentile(np.concatenate([points, lines.reshape(-1, 2)]), [2, 98], axis=0)
    scale = 0.95 * min(WIDE / (high - low)[0], HIGH / (high - low)[1])
    middle = np.array([left + WIDE / 2, TOP + HIGH / 2])
    points, lines = ((each - (low + high) / 2) * scale + middle for each in (points, lines))
    inside = (np.abs(points - middle) <= [WIDE / 2, HIGH / 2]).all(1)
    across, up = points[inside].T
    sheet.axes.scatter(across, up, s=1.2, c=model.colours[inside], linewidths=0)
    for line in lines[(np.abs(lines - middle) <= [WIDE / 2, HIGH / 2]).all((1, 2))]:
        sheet.axes.plot(*line.T, color=ORANGE, linewidth=0.5)


def _draw_code(sheet: Sheet, bits: NDArray[np.uint8], differs: NDArray[np.bool_], left: float, top: float) -> None:
    """A code as rows of 16 squares, filled if 1, those that differ in the other colour."""
    side = WIDE / 16
    for place, (bit, other) in enumerate(zip(bits, differs, strict=True)):
        row, column = divmod(place, 16)
        colour = ORANGE if other else BLUE
        corner = (left + column * side, top + row * side)
        square = Rectangle(corner, 0.86 * side, 0.86 * side, facecolor=colour if bit else "none", edgecolor=colour, linewidth=0.5)
        sheet.axes.add_patch(square)
