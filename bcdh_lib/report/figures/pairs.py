"""The pairs that 3D models gave: from easy to hard as one sees them, how much they share, and how often they are right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcdh_lib.core.codes import hamming, pack
from bcdh_lib.report.figures.labels import blank, counted
from bcdh_lib.report.figures.sheets import ImageOf, Sheet, evenly
from bcdh_lib.report.figures.style import DISSIMILAR, GREY, INK, PAGE, SIMILAR, Drawn, new_figure, styled


def similar_gallery(pairs: pd.DataFrame, image: ImageOf, shown: int = 9) -> Drawn:
    """Similar pairs of the table `pairs` from easy to hard (by falling shared share), each with what it shares (photographic).

    They are spread evenly over the pairs; of neighbours in difficulty one from a model not yet shown is preferred. Pairs of a
    published database, which does not say what they share, stand in the table's order.
    """
    ordered = pairs.sort_values("shared_share", ascending=False, kind="stable", na_position="last")
    chosen = _from_many_models(ordered, shown)
    said = chosen["shared_share"].dropna()
    span = f", their shared share from {said.iloc[0]:.0%} to {said.iloc[-1]:.0%}" if len(said) else ""
    alt = f"{counted(len(chosen), 'similar pair')} of {len(pairs):,}{span}."
    return _gallery(chosen[["query_id", "positive_id"]].to_numpy(), [_shared(pair) for _, pair in chosen.iterrows()], image), alt


def _from_many_models(ordered: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """One pair from each of `wanted` equal stretches of the ordered pairs, of the model that was taken least so far.

    First and last pair are kept. A pair and its mirror are one.
    """
    low, high = ordered[["query_id", "positive_id"]].min(axis=1), ordered[["query_id", "positive_id"]].max(axis=1)
    ordered = ordered[~pd.DataFrame({"low": low, "high": high}).duplicated()].reset_index(drop=True)
    stops, taken = evenly(len(ordered), wanted), dict.fromkeys(ordered["model_id"], 0)
    chosen: list[int] = []
    for place in stops.tolist():
        reach = 0 if place in (stops[0], stops[-1]) else int((stops[1] - stops[0]) // 3)
        near = sorted(range(place - reach, place + reach + 1), key=lambda row: abs(row - place))
        best = min(near, key=lambda row: taken[ordered["model_id"][row]])
        taken[ordered["model_id"][best]] += 1
        chosen.append(best)
    return ordered.loc[chosen]


def _shared(pair: pd.Series) -> str:
    if pd.isna(pair["shared_share"]):
        return f"photos {pair['query_id']} and {pair['positive_id']}\nmodel {pair['model_id']}"
    points = counted(int(pair["shared_points"]), "point")
    return f"shares {pair['shared_share']:.0%} ({points})\nscale × {pair['scale_change']:.2f}, model {pair['model_id']:.0f}"


def dissimilar_gallery(members: pd.DataFrame, image: ImageOf, candidates: pd.DataFrame | None = None, shown: int = 9) -> Drawn:
    """Dissimilar pairs: photos of different groups of the table `members` (photographic).

    With the reconstruction's table `candidates`, hard ones: photos alike enough to be matched whose matches do not connect their
    groups, the most verified matches first. Without it, pairs drawn at random.
    """
    group = members.set_index("photo_id")["group_id"]
    if candidates is not None:
        hard = each_once(across_groups(candidates, group), shown)
        chosen = hard[["photo_id", "other_id"]].to_numpy()
        words = [
            counted(number, "verified match", "verified matches") if number else "no verified match" for number in hard["inliers"]
        ]
        return _gallery(chosen, words, image), f"{counted(len(chosen), 'hard dissimilar pair')}{_span(words)}."
    drawn = np.random.default_rng(0).choice(members["photo_id"], (20 * shown, 2)) if len(members) else np.empty((0, 2), dtype=int)
    chosen = drawn[group.loc[drawn[:, 0]].to_numpy() != group.loc[drawn[:, 1]].to_numpy()][:shown]
    words = [f"photos {one} and {other}" for one, other in chosen]
    return _gallery(chosen, words, image), f"{counted(len(chosen), 'dissimilar pair')}, drawn at random."


def mined_gallery(outputs: NDArray, members: pd.DataFrame, image: ImageOf, shown: int = 9) -> Drawn:
    """The dissimilar pairs that codes find hardest: photos of different groups with the nearest codes (photographic).

    outputs [n, L] of the photos of the table `members`, in its order. Of larger piles 1,000 photos, spread evenly, are asked.
    """
    rows = evenly(len(members), 1000)
    codes, group = pack(outputs), members["group_id"].to_numpy()
    distances = hamming(codes[rows], codes).astype(np.int64)
    distances[group[rows][:, None] == group[None, :]] = outputs.shape[1] + 1
    photo, model, nearest = members["photo_id"].to_numpy(), members["model_id"].to_numpy(), distances.argmin(1)
    found = pd.DataFrame(
        {
            "photo_id": photo[rows],
            "other_id": photo[nearest],
            "distance": distances.min(1),
            "model_id": model[rows],
            "other_model": model[nearest],
        }
    )
    found = found[found["distance"] <= outputs.shape[1]].sort_values("distance", kind="stable")
    hard = each_once(found, shown)
    apart = [f"{distance} of {outputs.shape[1]} bits apart" for distance in hard["distance"]]
    models = [f"models {one} and {other}" for one, other in zip(hard["model_id"], hard["other_model"], strict=True)]
    alt = f"{counted(len(hard), 'dissimilar pair')} whose codes are nearest{_span(apart)}."
    words = [f"{distance}\n{pair}" for distance, pair in zip(apart, models, strict=True)]
    return _gallery(hard[["photo_id", "other_id"]].to_numpy(), words, image), alt


def across_groups(candidates: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """The candidate pairs whose photos stand in different groups (`group` by photo_id), most verified matches first."""
    known = candidates[candidates["photo_id"].isin(group.index) & candidates["other_id"].isin(group.index)]
    across = group.loc[known["photo_id"]].to_numpy() != group.loc[known["other_id"]].to_numpy()
    return known[across].sort_values("inliers", ascending=False, kind="stable")


def each_once(pairs: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """The first pairs (photo_id, other_id) in which no photo comes back."""
    shown: set[int] = set()
    chosen: list[int] = []
    for row, both in enumerate(zip(pairs["photo_id"], pairs["other_id"], strict=True)):
        if len(chosen) < wanted and shown.isdisjoint(both):
            shown.update(both)
            chosen.append(row)
    return pairs.iloc[chosen]


def _span(words: list[str]) -> str:
    """From the first to the last of some words."""
    return f", {' to '.join(dict.fromkeys([words[0], words[-1]]))}" if words else ""


def _gallery(pairs: np.ndarray, words: list[str], image: ImageOf, columns: int = 3) -> Figure:
    """Pairs of photos [n, 2] by id, side by side, with words below each. An empty gallery says so."""
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
def histograms(pairs: pd.DataFrame, members: pd.DataFrame | None = None) -> Drawn:
    """What the similar pairs of the table `pairs` share, how far their scales differ, and how many pairs a photo has as query.

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
            blank(panel, "not stated" if len(pairs) else "no pair")
            continue
        panel.hist(values, edges.tolist(), color=SIMILAR)
        panel.set(xlabel=label, ylabel=unit)
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.axvline(values.median(), color=INK, linewidth=1.2, linestyle="--")
        panel.set_title(f"median {values.median():{form}}", fontsize=10)
    if len(share):
        axes[0, 0].set_yscale("log")
    said = [
        f"median {name} {values.median():.2f}"
        for name, values in (("shared share", share), ("scale change", change))
        if len(values)
    ]
    lonely = f"{int((each == 0).sum()):,} of {counted(len(each), 'photo')} have no positive" if len(each) else "there is no photo"
    return figure, f"Histograms of {counted(len(pairs), 'similar pair')}: {', '.join([*said, lonely])}."


PRECISIONS = {
    "similar_precision": ("similar pairs that show one landmark", SIMILAR),
    "dissimilar_precision": ("dissimilar pairs that show two", DISSIMILAR),
    "group_purity": ("photos that show their group's landmark", GREY),
}


@styled()
def precision_bars(figures: Mapping[str, float]) -> Drawn:
    """How often pairs and groups tell the truth: the figures of diagnostics.diagnose, which are none where no truth is known."""
    known = {key: figures[key] for key in reversed(PRECISIONS) if key in figures and np.isfinite(figures[key])}
    figure, axes = new_figure(height=0.8 + 0.32 * max(len(known), 1))
    panel = axes[0, 0]
    if not known:
        blank(panel, "the truth about these photos is not known")
        return figure, "The truth about these photos is not known, so no precision can be shown."
    names = [PRECISIONS[key][0] for key in known]
    bars = panel.barh(names, list(known.values()), color=[PRECISIONS[key][1] for key in known], height=0.7)
    panel.bar_label(bars, [_percent(value) for value in known.values()], padding=4, fontsize=9)
    panel.set(xlabel="share that is right", xlim=(0, 1.13))
    panel.set_xticks(np.linspace(0, 1, 6))
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    return figure, f"{'; '.join(f'{PRECISIONS[key][0]}: {_percent(known[key])}' for key in PRECISIONS if key in known)}."


def _percent(share: float) -> str:
    """Rounded down: 100.00 % is said of nothing less than all."""
    return f"{np.floor(share * 1e4) / 1e4:.2%}"
