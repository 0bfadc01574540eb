"""The pipeline in one picture, made from a run: photos, a 3D model, a pair, two codes, a ranking."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances
from bcdh_lib.core.tables import read_table
from bcdh_lib.report.figures.display import PhotoPicture
from bcdh_lib.report.figures.models import Model, draw, read_model
from bcdh_lib.report.figures.retrieval import draw_code
from bcdh_lib.report.figures.sheets import Sheet, Tile, evenly
from bcdh_lib.report.figures.style import BCDH, GREY, PAGE
from bcdh_lib.retrieval.benchmarks import read_benchmarks
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
    coded, positive = read_codes(study, benchmark, System(BCDH, bits)), benchmark.positive()
    found = np.where(benchmark.junk(), bits + 1, distances(coded.queries, coded.database))  # junk comes last
    orders = np.argsort(found, axis=1, kind="stable")
    number = int(positive[np.arange(len(orders)), orders[:, 0]].argmax())  # the first query whose nearest photo is a hit
    order, photo = orders[number], list(benchmark.photos.values())
    codes = np.unpackbits(np.stack([coded.queries[number], coded.database[order[0]]]), axis=1, bitorder="little")
    ranking = [Tile(benchmark.photo_of(benchmark.queries[number]), mark="query")]
    ranking += [Tile(photo[place], mark="hit" if positive[number, place] else "miss") for place in order[:5]]
    return draw_pipeline(
        [study.image(photo) for photo in photos.iloc[evenly(len(photos), 9)]],
        read_model(study.reconstruction / "models" / str(largest)),
        [study.image(int(pair[name])) for name in ("query_id", "positive_id")],
        codes,
        ranking,
    )


def draw_pipeline(
    photos: list[Path], model: Model, pair: list[Path], codes: NDArray[np.uint8], ranking: list[Tile]
) -> PhotoPicture:
    """The picture itself. codes: the bits [2, L] of a query and its nearest photo; ranking: the query and the first photos."""
    height = TOP + HIGH + 0.3
    sheet, lefts = Sheet(height), [0.05 + column * (WIDE + GAP) for column in range(5)]
    apart = int((codes[0] != codes[1]).sum())
    notes = {
        "Photos": "that nobody labelled",
        "3D model": "by COLMAP",
        "Similar pair": "shares 3D points",
        "Codes": f"{apart} of {codes.shape[1]} bits differ",
        "Ranking": "of unseen places",
    }
    for left, (head, note) in zip(lefts, notes.items(), strict=True):
        sheet.text(left, 0.2, head, 10, "left", "baseline")
        sheet.text(left, TOP + HIGH + 0.06, note, 8, "left")
    for left in lefts[1:]:
        ends = ((left - 0.05, TOP + HIGH / 2), (left - GAP + 0.03, TOP + HIGH / 2))
        sheet.axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": GREY})
    for tiles, left, columns in (([Tile(photo) for photo in photos[:9]], lefts[0], 3), (ranking[:6], lefts[4], 2)):
        for place, tile in enumerate(tiles):
            row, column = divmod(place, columns)
            wide = WIDE / columns
            sheet.photo(tile, (left + column * wide, TOP + row * HIGH / 3, wide - 0.04, HIGH / 3 - 0.04))
    inset = sheet.figure.add_axes((lefts[1] / PAGE, 1 - (TOP + HIGH) / height, WIDE / PAGE, HIGH / height))
    draw(inset, model, model, aspect=HIGH / WIDE, dot=1.5)
    for row, photo in enumerate(pair):
        sheet.photo(Tile(photo), (lefts[2], TOP + row * HIGH / 2, WIDE, HIGH / 2 - 0.05))
        corner = (lefts[3], TOP + row * HIGH / 2 + 0.12)
        draw_code(sheet.axes, codes[row], codes[0] != codes[1], corner, WIDE / 16, 16)
    alt = (
        f"The pipeline from left to right: photos of the collection; a {model}; two photos that share 3D points; two codes of "
        f"{codes.shape[1]} bits, {apart} of which differ; a query and the photos ranked first."
    )
    return PhotoPicture(sheet.figure, alt)
