"""The pairs of one photo: its similar photos, the 3D points they share marked in both, and its hardest dissimilar ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pycolmap
from numpy.typing import NDArray

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.colmap import image_id
from bcdh_lib.reconstruction.model_files import open_model
from bcdh_lib.report.figures.display import show
from bcdh_lib.report.figures.labels import counted
from bcdh_lib.report.figures.sheets import ImageOf, Sheet, evenly
from bcdh_lib.report.figures.style import INK, PAGE, Drawn
from bcdh_lib.study import Study
from bcdh_lib.training.hard_pairs import hardest_dissimilar, pretrained_vectors

Places = NDArray[np.float64]
PointsOf = Callable[[int, int, int], tuple[Places, Places]]
"""Model, photo, photo -> where the two see the points they share, as `shared_points` gives it."""

SHOWN = 3
"""Similar and dissimilar photos a query."""

LINES = 4
"""Shared points that a line joins: enough to see how the photo turned, few enough to follow."""

ASKED = 1000
"""Photos among which hard ones are sought, spread evenly over larger piles."""

MARK = "#F0E442"  # Okabe and Ito's yellow; a dark rim makes it stand out from any photo


def show_query_pairs(study: Study, queries: list[int] | None = None, count: int = 3) -> None:
    """Show for some photos, by photo_id, what is similar to them and what is hardest to tell from them; by default for `count`.

    Pairs of a published database come without models: their photos are shown, and no points. Raises ValueError where a photo
    is in no model.
    """
    pairs, members = read_table(study.pairs, "pairs"), read_table(study.pairs, "members")
    queries = telling_queries(pairs, count) if queries is None else queries
    unknown = sorted(set(queries) - set(members["photo_id"]))
    if unknown:
        known = ", ".join(map(str, members["photo_id"].head(5)))
        raise ValueError(f"photo {unknown[0]} is in no model, so it has no pairs; photos that are: {known}, ..")
    rows = np.union1d(evenly(len(members), ASKED), np.flatnonzero(members["photo_id"].isin(queries)))
    asked = members.iloc[rows]
    vectors, points = pretrained_vectors(study, asked["photo_id"].tolist()), points_of(study)
    for query in queries:
        hard = hardest_dissimilar(vectors, asked, query, SHOWN)
        drawn = query_gallery(query, similar_of(query, pairs), hard, study.image, points)
        show(*drawn, photographic=True)


def points_of(study: Study) -> PointsOf | None:
    """Reads shared points from the study's models, the last of which is kept; None where the pairs are not the models'."""
    if study.params.pairs.source != "reconstruction":
        return None
    opened = lru_cache(maxsize=1)(lambda model: open_model(study.reconstruction / "models" / str(model)))
    return lambda model, one, other: shared_points(opened(model), one, other)


def shared_points(model: pycolmap.Reconstruction, one: int, other: int) -> tuple[Places, Places]:
    """Where two photos of a model see the 3D points that both see, [n, 2] each, in px from the top left corner of each photo.

    Row i of both is one 3D point. These are the observations that the model holds, not the point projected. A photo may observe
    a point twice: one of the two is given.
    """
    sees = [
        {point.point3D_id: point.xy for point in image.get_observation_points2D()}
        for image in (model.image(image_id(photo)) for photo in (one, other))
    ]
    both = sorted(sees[0].keys() & sees[1].keys())
    first, second = (np.array([places[point] for point in both], dtype=np.float64).reshape(-1, 2) for places in sees)
    return first, second


def telling_queries(pairs: pd.DataFrame, count: int) -> list[int]:
    """The photo with the most positives of each of `count` models, spread evenly from the models with many to those with few.

    Models whose photos have fewer than SHOWN positives come in only where no other is left.
    """
    positives = pairs.groupby(["model_id", "query_id"]).size().rename("positives").reset_index()
    best = positives.sort_values(["positives", "query_id"], ascending=[False, True]).drop_duplicates("model_id")
    enough = best[best["positives"] >= SHOWN]
    chosen = enough if len(enough) else best
    return chosen["query_id"].iloc[evenly(len(chosen), count)].tolist()


def similar_of(query: int, pairs: pd.DataFrame) -> pd.DataFrame:
    """Up to SHOWN of the query's rows of the table `pairs`, from the largest shared share to the smallest, spread evenly."""
    own = pairs[pairs["query_id"] == query].sort_values("shared_share", ascending=False, kind="stable", na_position="last")
    return own.iloc[evenly(len(own), SHOWN)]


def query_gallery(query: int, similar: pd.DataFrame, hard: pd.DataFrame, image: ImageOf, points: PointsOf | None) -> Drawn:
    """A query above each of its similar photos, and its hardest dissimilar photos beside them (photographic).

    The 3D points that a pair shares are marked in both photos; lines join a few. `similar` are rows of the table `pairs`, `hard`
    is what hardest_dissimilar gives.
    """
    edge, gap, between, aside, head, line, words = 0.05, 0.12, 0.06, 0.25, 0.3, 0.36, 0.2
    wide = (PAGE - 2 * edge - 2 * gap - aside) / 3.62
    high, narrow = 0.75 * wide, 0.62 * wide
    low = (2 * high + between + line - SHOWN * words) / SHOWN  # a dissimilar photo's height
    sheet = Sheet(head + 2 * high + between + line)
    at_hard = PAGE - edge - narrow
    sheet.text(edge, 0.2, _heading(query, similar), 9.5, "left", "baseline")
    sheet.text(at_hard, 0.2, "Hardest dissimilar", 9.5, "left", "baseline")
    for column, pair in enumerate(similar.itertuples()):
        left = edge + column * (wide + gap)
        above = sheet.photo(image(query), (left, head, wide, high))
        below = sheet.photo(image(pair.positive_id), (left, head + high + between, wide, high))
        if points is not None:
            _mark(sheet, points(pair.model_id, query, pair.positive_id), above, below)
        sheet.text(left, head + 2 * high + between + 0.04, _similar_words(pair), 7.5, "left")
    for row, other in enumerate(hard.itertuples()):
        top = head + row * (low + words)
        sheet.photo(image(other.photo_id), (at_hard, top, narrow, low))
        sheet.text(at_hard, top + low + 0.03, _hard_words(other), 7.5, "left")
    said = [_similar_words(pair).replace("\n", ", ") for pair in similar.itertuples()]
    apart = [_hard_words(other) for other in hard.itertuples()]
    marked = ", the 3D points that a pair shares marked in both" if points is not None else ""
    alt = (
        f"Photo {query} above {counted(len(similar), 'similar photo')}{marked}: {'; '.join(said) or 'none'}. "
        f"Hardest dissimilar: {'; '.join(apart) or 'none'}."
    )
    return sheet.figure, alt


def _heading(query: int, similar: pd.DataFrame) -> str:
    if similar.empty:
        return f"Photo {query} has no similar photo"
    return f"Photo {query} (above) and similar photos, all of model {similar['model_id'].iloc[0]}"


def _similar_words(pair: Any) -> str:
    where = f"photo {pair.positive_id}, model {pair.model_id}"
    if pd.isna(pair.shared_share):
        return where
    points = counted(int(pair.shared_points), "point")
    return f"{where}, scale × {pair.scale_change:.2f}\nshares {points} ({pair.shared_share:.0%})"


def _hard_words(other: Any) -> str:
    return f"photo {other.photo_id}, model {other.model_id}"


def _mark(sheet: Sheet, places: tuple[Places, Places], *corners: tuple[float, float, float]) -> None:
    """Mark shared points in both photos, which lie at `corners` as Sheet.photo gave them, and join some from left to right."""
    first, second = (np.array([left, top]) + scale * place for place, (left, top, scale) in zip(places, corners, strict=True))
    for both in (first, second):
        dot: dict[str, Any] = {"markersize": 2.6, "markerfacecolor": MARK, "markeredgecolor": INK, "markeredgewidth": 0.4}
        sheet.axes.plot(*both.T, "o", **dot)
    for point in np.argsort(first[:, 0], kind="stable")[evenly(len(first), LINES)]:
        ends = np.array([first[point], second[point]]).T
        sheet.axes.plot(*ends, color=INK, linewidth=1.4)
        sheet.axes.plot(*ends, color=MARK, linewidth=0.8)
