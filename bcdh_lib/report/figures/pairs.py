"""The pairs that 3D models gave: from easy to hard, the points they share, and what the thresholds do."""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pycolmap
from numpy.typing import NDArray

from bcdh_lib.core.tables import read_table
from bcdh_lib.params import Pairs
from bcdh_lib.reconstruction.models import open_model
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture
from bcdh_lib.report.figures.sheets import ImageOf, Places, Tile, evenly, in_rows, photo_rows
from bcdh_lib.report.figures.style import DISSIMILAR, GREY, INK, SIMILAR, counted, new_figure, styled
from bcdh_lib.study import Study

SHOWN = 3  # photos below a query
LINES = 4  # shared points joined by a line: enough to see how the photo turned, few enough to follow


def similar_gallery(pairs: pd.DataFrame, image: ImageOf, shown: int = 9) -> PhotoPicture:
    """Similar pairs of the table `pairs` from easy to hard (by falling shared share), spread evenly, without mirrored pairs."""
    ordered = pairs.sort_values("shared_share", ascending=False, kind="stable", na_position="last")
    ends = np.sort(ordered[["query_id", "positive_id"]].to_numpy(), axis=1)
    ordered = ordered[~pd.DataFrame(ends, ordered.index).duplicated()]
    chosen = ordered.iloc[evenly(len(ordered), shown)]
    alt = f"{counted(len(chosen), 'similar pair')} of {len(pairs):,}, from those that share much to those that share little."
    words = [_shared(pair).partition(", ")[::2] for pair in chosen.itertuples()]
    return _gallery(chosen[["query_id", "positive_id"]].to_numpy(), words, image, alt)


def _shared(pair: Any) -> str:
    """What a pair shares; a published database does not say."""
    if pd.isna(pair.shared_share):
        return "not known"
    return f"shares {pair.shared_share:.0%}, scale × {pair.scale_change:.2f}"


def dissimilar_gallery(members: pd.DataFrame, image: ImageOf, candidates: pd.DataFrame, shown: int = 9) -> PhotoPicture:
    """Hard dissimilar pairs: photos of different groups that were matched, those with the most verified matches first."""
    group = members.set_index("photo_id")["group_id"]
    known = candidates[candidates["photo_id"].isin(group.index) & candidates["other_id"].isin(group.index)]
    across = known[group.loc[known["photo_id"]].to_numpy() != group.loc[known["other_id"]].to_numpy()]
    hard = across.sort_values("inliers", ascending=False, kind="stable")
    hard = hard.drop_duplicates("photo_id").drop_duplicates("other_id").head(shown)
    words = [(counted(number, "verified match", "verified matches"), "") if number else ("", "") for number in hard["inliers"]]
    alt = f"{counted(len(hard), 'hard dissimilar pair')}, the most verified matches first."
    return _gallery(hard[["photo_id", "other_id"]].to_numpy(), words, image, alt)


def _gallery(pairs: NDArray[np.integer], words: list[tuple[str, str]], image: ImageOf, alt: str) -> PhotoPicture:
    """Pairs of photos [n, 2] by id, side by side, three pairs a row, with words below each photo."""
    both = [each for pair in zip(pairs.tolist(), words, strict=True) for each in zip(*pair, strict=True)]
    tiles = [Tile(image(photo), text) for photo, text in both]
    return PhotoPicture(photo_rows(in_rows(tiles, 6), 6, apart=[2, 4]).figure, alt)


def query_pairs(study: Study, queries: list[int] | None = None, count: int = 3) -> Gallery:
    """For each of some photos (photo_id), three of its positives from much to little shared, with the 3D points both see.

    Default: the photo with the most positives of each of `count` models. Raises ValueError if a photo has no pairs.
    """
    pairs = read_table(study.pairs, "pairs")
    gallery = Gallery()
    for query in best_connected(pairs, count) if queries is None else queries:
        own = pairs[pairs["query_id"] == query].sort_values("shared_share", ascending=False, kind="stable", na_position="last")
        gallery.append(query_sheet(study, own.iloc[evenly(len(own), SHOWN)], query))
    return gallery


def best_connected(pairs: pd.DataFrame, count: int) -> list[int]:
    """The photo with the most positives of each of `count` models, spread evenly from models with many to those with few."""
    positives = pairs.groupby(["model_id", "query_id"]).size().rename("positives").reset_index()
    best = positives.sort_values(["positives", "query_id"], ascending=[False, True]).drop_duplicates("model_id")
    enough = best[best["positives"] >= SHOWN]
    chosen = enough if len(enough) else best
    return chosen["query_id"].iloc[evenly(len(chosen), count)].tolist()


def query_sheet(study: Study, rows: pd.DataFrame, query: int) -> PhotoPicture:
    """A query above the other photo of some rows of a table of its pairs; shared 3D points are marked, lines join a few.

    A column `verdict` is written below each if the table has one. Raises ValueError if there is no row.
    """
    if rows.empty:
        known = ", ".join(map(str, read_table(study.pairs, "pairs")["query_id"].drop_duplicates().head(5)))
        raise ValueError(f"photo {query} has no pairs; photos that have: {known}, ..")
    words = [f"photo {pair.positive_id}: {_shared(pair)}" for pair in rows.itertuples()]
    if "verdict" in rows:
        words = [f"{text}\n{verdict}" for text, verdict in zip(words, rows["verdict"], strict=True)]
    below = [Tile(study.image(int(photo)), text) for photo, text in zip(rows["positive_id"], words, strict=True)]
    sheet = photo_rows([[Tile(study.image(query))] * len(below), below], SHOWN, {0: f"photo {query} (above) and others"})
    if study.params.pairs.source == "reconstruction":
        opened = lru_cache(maxsize=1)(lambda model: open_model(study.reconstruction / "models" / str(model)))
        for column, pair in enumerate(rows.itertuples()):
            both = shared_points(opened(pair.model_id), query, int(pair.positive_id))
            sheet.mark(both, (0, column), (1, column), lines=LINES)
    said = "; ".join(text.replace("\n", ", ") for text in words)
    return PhotoPicture(sheet.figure, f"Photo {query} above {counted(len(rows), 'photo')}, shared 3D points marked: {said}.")


def shared_points(model: pycolmap.Reconstruction, one: int, other: int) -> tuple[Places, Places]:
    """Where two photos of a model observe the 3D points that both see, [n, 2] each, in px from each photo's top left corner.

    Row i of both is one 3D point, as observed, not projected. If a photo observes a point twice, one of the two is given.
    """
    images = {int(image.name.split(".")[0]): image for image in model.images.values()}
    sees = [{point.point3D_id: point.xy for point in images[photo].get_observation_points2D()} for photo in (one, other)]
    both = sorted(sees[0].keys() & sees[1].keys())
    first, second = (np.array([places[point] for point in both], dtype=np.float64).reshape(-1, 2) for places in sees)
    return first, second


def judged(every: pd.DataFrame, rule: Pairs) -> pd.DataFrame:
    """Pairs of photos that share a point, with the column `verdict`: what the settings say of each."""
    little = np.where(every["shared_share"] > rule.min_shared, "similar", f"shares at most {rule.min_shared:.0%}")
    return every.assign(verdict=np.where(every["scale_change"] > rule.max_scale_change, "scales differ", little))


@styled()
def thresholds(every: pd.DataFrame, query: int, rule: Pairs) -> Picture:
    """One query's photos of the `judged` pairs, with the thresholds; and the similar pairs that other thresholds would give."""
    figure, axes = new_figure(1, 2, height=3.4)
    one, curve = axes[0]
    rows = every[every["query_id"] == query]
    for similar, look, label in ((True, "o", "similar"), (False, "x", "not similar")):
        kind = rows[(rows["verdict"] == "similar") == similar]
        one.plot(kind["shared_share"], kind["scale_change"], look, color=SIMILAR if similar else DISSIMILAR, label=label)
    one.axhline(rule.max_scale_change, color=INK, linestyle="--", linewidth=1)
    one.set(title=f"Photo {query} and the others", xlim=(0, 1), ylim=(0.95, max(2.0, 1.05 * rows["scale_change"].max())))
    one.set(xlabel="share of its points that the other sees", ylabel="scale change (ratio)")
    one.legend(loc="upper right")
    shares = np.linspace(0, 0.6, 61)
    for largest, dashes in ((rule.max_scale_change, "solid"), (np.inf, "dotted")):
        held = every.loc[every["scale_change"] <= largest, "shared_share"].to_numpy()
        words = "any scale change" if largest == np.inf else f"scale change ≤ {largest:g}"
        curve.plot(shares, [(held > share).sum() for share in shares], color=SIMILAR, linestyle=dashes, label=words)
    curve.set(title="All photos", xlabel="min_shared (share of the query's points)", ylabel="similar pairs", ylim=0)
    curve.yaxis.set_major_formatter("{x:,.0f}")
    curve.legend()
    for panel in (one, curve):
        panel.axvline(rule.min_shared, color=INK if panel is one else GREY, linestyle="--", linewidth=1)
    count = int((rows["verdict"] == "similar").sum())
    alt = f"{count} of {len(rows)} photos that share points with photo {query} are similar to it. Over all photos, "
    return Picture(figure, f"{alt}{int((every['verdict'] == 'similar').sum()):,} of {len(every):,} pairs are.")
