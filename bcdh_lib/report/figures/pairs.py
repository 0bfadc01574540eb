"""The pairs that 3D models gave: from easy to hard, the points they share, and how much they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pycolmap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.models import open_model
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture
from bcdh_lib.report.figures.labels import blank, counted
from bcdh_lib.report.figures.sheets import ImageOf, Sheet, evenly
from bcdh_lib.report.figures.style import GREY, INK, PAGE, SIMILAR, new_figure, styled
from bcdh_lib.study import Study

Places = NDArray[np.float64]
MARK = "#F0E442"  # Okabe and Ito's yellow; a dark rim makes it visible on any photo
SHOWN = 3  # similar photos of a query
LINES = 4  # shared points joined by a line: enough to see how the photo turned, few enough to follow


def similar_gallery(pairs: pd.DataFrame, image: ImageOf, shown: int = 9) -> PhotoPicture:
    """Similar pairs of the table `pairs` from easy to hard (by falling shared share), spread evenly, without mirrored pairs.

    Pairs of a published database, which does not say what they share, keep the table's order.
    """
    ordered = pairs.sort_values("shared_share", ascending=False, kind="stable", na_position="last")
    ends = np.sort(ordered[["query_id", "positive_id"]].to_numpy(), axis=1)
    ordered = ordered[~pd.DataFrame(ends, ordered.index).duplicated()]
    chosen = ordered.iloc[evenly(len(ordered), shown)]
    shares = chosen["shared_share"].dropna()
    span = f", their shared share from {shares.iloc[0]:.0%} to {shares.iloc[-1]:.0%}" if len(shares) else ""
    words = [_description(pair) for pair in chosen.itertuples()]
    alt = f"{counted(len(chosen), 'similar pair')} of {len(pairs):,}{span}."
    return PhotoPicture(_gallery(chosen[["query_id", "positive_id"]].to_numpy(), words, image), alt)


def _description(pair: Any) -> str:
    if pd.isna(pair.shared_share):
        return f"photos {pair.query_id} and {pair.positive_id}\nmodel {pair.model_id}"
    points = counted(int(pair.shared_points), "point")
    return f"shares {pair.shared_share:.0%} ({points})\nscale × {pair.scale_change:.2f}, model {pair.model_id:.0f}"


def dissimilar_gallery(members: pd.DataFrame, image: ImageOf, candidates: pd.DataFrame, shown: int = 9) -> PhotoPicture:
    """Hard dissimilar pairs: photos of different groups that were matched, those with the most verified matches first."""
    group = members.set_index("photo_id")["group_id"]
    known = candidates[candidates["photo_id"].isin(group.index) & candidates["other_id"].isin(group.index)]
    across = known[group.loc[known["photo_id"]].to_numpy() != group.loc[known["other_id"]].to_numpy()]
    hard = each_once(across.sort_values("inliers", ascending=False, kind="stable"), shown)
    words = [
        counted(number, "verified match", "verified matches") if number else "no verified match" for number in hard["inliers"]
    ]
    alt = f"{counted(len(hard), 'hard dissimilar pair')}{_span(words)}."
    return PhotoPicture(_gallery(hard[["photo_id", "other_id"]].to_numpy(), words, image), alt)


def each_once(pairs: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """The first pairs (photo_id, other_id) that show no photo twice."""
    seen: set[int] = set()
    chosen: list[int] = []
    for row, both in enumerate(zip(pairs["photo_id"], pairs["other_id"], strict=True)):
        if len(chosen) < wanted and seen.isdisjoint(both):
            seen.update(both)
            chosen.append(row)
    return pairs.iloc[chosen]


def _span(words: list[str]) -> str:
    return f", {' to '.join(dict.fromkeys([words[0], words[-1]]))}" if words else ""


def _gallery(pairs: np.ndarray, words: list[str], image: ImageOf, columns: int = 3) -> Figure:
    """Pairs of photos [n, 2] by id, side by side, with words below each."""
    between, gap, line = 0.22, 0.04, 0.2 + 0.14 * max((text.count("\n") for text in words), default=0)
    wide = ((PAGE - 0.1 + between) / columns - between - gap) / 2
    high = 0.75 * wide
    sheet = Sheet(0.05 + max(-(-len(pairs) // columns), 1) * (high + line + 0.08))
    if not len(pairs):
        sheet.text(PAGE / 2, high / 2, "no such pair", 10, colour=GREY)
    for number, (pair, text) in enumerate(zip(pairs.tolist(), words, strict=True)):
        row, column = divmod(number, columns)
        left, top = 0.05 + column * (2 * wide + gap + between), 0.05 + row * (high + line + 0.08)
        for photo, place in zip(pair, (left, left + wide + gap), strict=True):
            sheet.photo(image(photo), (place, top, wide, high))
        sheet.text(left, top + high + 0.04, text, 8, "left")
    return sheet.figure


@styled()
def histograms(pairs: pd.DataFrame, members: pd.DataFrame | None = None) -> Picture:
    """What the similar pairs of the table `pairs` share, how far their scales differ, and how many positives a query has.

    Counts of the shared share are on a logarithmic axis. With the table `members`, photos without a pair are counted too.
    """
    figure, axes = new_figure(1, 3, height=2.9)
    share, change = pairs["shared_share"].dropna(), pairs["scale_change"].dropna()
    photos = members["photo_id"] if members is not None else pairs["query_id"].drop_duplicates()
    each = pairs["query_id"].value_counts().reindex(photos, fill_value=0)
    step = 1 + int(each.max() if len(each) else 0) // 25
    panels = (
        (share, np.linspace(0, 1, 26), "share of the query's points\nthat the positive sees", "pairs", ".2f"),
        (change, np.linspace(1, max(change.max(), 1.1) if len(change) else 2, 26), "scale change (ratio)", "pairs", ".2f"),
        (each, np.arange(0, (each.max() if len(each) else 0) + 2 * step, step) - 0.5, "positives of a photo", "photos", ".0f"),
    )
    for panel, (values, edges, label, unit, form) in zip(axes[0], panels, strict=True):
        if values.empty:
            blank(panel, "not known" if len(pairs) else "no pair")
            continue
        panel.hist(values, edges.tolist(), color=SIMILAR)
        panel.set(xlabel=label, ylabel=unit)
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.axvline(values.median(), color=INK, linewidth=1.2, linestyle="--")
        panel.set_title(f"median {values.median():{form}}", fontsize=10)
    if len(share):
        axes[0, 0].set_yscale("log")
    medians = [
        f"median {name} {each.median():.2f}" for name, each in (("shared share", share), ("scale change", change)) if len(each)
    ]
    lonely = f"{int((each == 0).sum()):,} of {counted(len(each), 'photo')} have no positive" if len(each) else "there is no photo"
    return Picture(figure, f"Histograms of {counted(len(pairs), 'similar pair')}: {', '.join([*medians, lonely])}.")


def query_pairs(study: Study, queries: list[int] | None = None, count: int = 3) -> Gallery:
    """For each of some photos (photo_id), three of its positives from much to little shared, with the 3D points both see.

    Default: the photo with the most positives of each of `count` models. Raises ValueError if a photo is in no model.
    """
    pairs, members = read_table(study.pairs, "pairs"), read_table(study.pairs, "members")
    queries = best_connected(pairs, count) if queries is None else queries
    unknown = sorted(set(queries) - set(members["photo_id"]))
    if unknown:
        known = ", ".join(map(str, members["photo_id"].head(5)))
        raise ValueError(f"photo {unknown[0]} is in no model, so it has no pairs; photos that are: {known}, ..")
    opened = lru_cache(maxsize=1)(lambda model: open_model(study.reconstruction / "models" / str(model)))
    points = None
    if study.params.pairs.source == "reconstruction":
        points = lambda model, one, other: shared_points(opened(model), one, other)  # noqa: E731
    return Gallery(query_gallery(query, positives_of(query, pairs), study.image, points) for query in queries)


def best_connected(pairs: pd.DataFrame, count: int) -> list[int]:
    """The photo with the most positives of each of `count` models, spread evenly from models with many to those with few."""
    positives = pairs.groupby(["model_id", "query_id"]).size().rename("positives").reset_index()
    best = positives.sort_values(["positives", "query_id"], ascending=[False, True]).drop_duplicates("model_id")
    enough = best[best["positives"] >= SHOWN]
    chosen = enough if len(enough) else best
    return chosen["query_id"].iloc[evenly(len(chosen), count)].tolist()


def positives_of(query: int, pairs: pd.DataFrame) -> pd.DataFrame:
    """Up to SHOWN of the query's rows of the table `pairs`, from the largest shared share to the smallest, spread evenly."""
    own = pairs[pairs["query_id"] == query].sort_values("shared_share", ascending=False, kind="stable", na_position="last")
    return own.iloc[evenly(len(own), SHOWN)]


def shared_points(model: pycolmap.Reconstruction, one: int, other: int) -> tuple[Places, Places]:
    """Where two photos of a model observe the 3D points that both see, [n, 2] each, in px from each photo's top left corner.

    Row i of both is one 3D point, as observed, not projected. If a photo observes a point twice, one of the two is given.
    """
    images = {int(image.name.split(".")[0]): image for image in model.images.values()}
    sees = [{point.point3D_id: point.xy for point in images[photo].get_observation_points2D()} for photo in (one, other)]
    both = sorted(sees[0].keys() & sees[1].keys())
    first, second = (np.array([places[point] for point in both], dtype=np.float64).reshape(-1, 2) for places in sees)
    return first, second


def query_gallery(
    query: int, positives: pd.DataFrame, image: ImageOf, points: Callable[[int, int, int], tuple[Places, Places]] | None
) -> PhotoPicture:
    """A query above each of its positives (rows of the table `pairs`); shared 3D points are marked, lines join a few."""
    edge, gap, between, head, line = 0.05, 0.12, 0.06, 0.3, 0.36
    wide = (PAGE - 2 * edge - 2 * gap) / SHOWN
    high = 0.75 * wide
    sheet = Sheet(head + 2 * high + between + line)
    model = f", all of model {positives['model_id'].iloc[0]}" if len(positives) else ": none"
    sheet.text(edge, 0.2, f"Query {query} (above) and its positives{model}", 9.5, "left", "baseline")
    words = [f"photo {pair.positive_id}, {_description(pair)}" for pair in positives.itertuples()]
    for column, (pair, text) in enumerate(zip(positives.itertuples(), words, strict=True)):
        left = edge + column * (wide + gap)
        above = sheet.photo(image(query), (left, head, wide, high))
        below = sheet.photo(image(pair.positive_id), (left, head + high + between, wide, high))
        if points is not None:
            mark_points(sheet, points(pair.model_id, query, pair.positive_id), above, below)
        sheet.text(left, head + 2 * high + between + 0.04, text, 7.5, "left")
    marked = ", their shared 3D points marked" if points is not None else ""
    described = "; ".join(text.replace("\n", ", ") for text in words) or "none"
    return PhotoPicture(sheet.figure, f"Photo {query} above {counted(len(positives), 'positive')}{marked}: {described}.")


def mark_points(sheet: Sheet, places: tuple[Places, Places], *corners: tuple[float, float, float], lines: int = LINES) -> None:
    """Mark points (px) in two photos, which lie at `corners` as Sheet.photo returned them, and join `lines` of them."""
    first, second = (np.array([left, top]) + scale * place for place, (left, top, scale) in zip(places, corners, strict=True))
    for both in (first, second):
        dot: dict[str, Any] = {"markersize": 2.6, "markerfacecolor": MARK, "markeredgecolor": INK, "markeredgewidth": 0.4}
        sheet.axes.plot(*both.T, "o", **dot)
    for point in np.argsort(first[:, 0], kind="stable")[evenly(len(first), lines)] if lines else []:
        ends = np.array([first[point], second[point]]).T
        sheet.axes.plot(*ends, color=INK, linewidth=1.4)
        sheet.axes.plot(*ends, color=MARK, linewidth=0.8)
