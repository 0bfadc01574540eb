"""How precise the pairs of a rendered collection are, by its true landmarks. Only this module reads them; nothing learns here."""

from pathlib import Path

import numpy as np
import pandas as pd

from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.study import Study


def diagnose(study: Study) -> dict[str, float]:
    """Write and return reports/diagnostics.json: the figures of `pair_precision`, empty if the truth is unknown."""
    figures: dict[str, float] = {}
    if truth_files(study):
        pairs, members = read_table(study.pairs, "pairs"), read_table(study.pairs, "members")
        figures = pair_precision(pairs, members, true_landmarks(study))
    write_json(study.reports / "diagnostics.json", figures)
    return figures


def truth_files(study: Study) -> list[Path]:
    """The files that hold the truth, and the photos that it is about; none if the truth is unknown."""
    return [study.photos / "photos.parquet", study.truth] if study.truth.is_file() else []


def true_landmarks(study: Study) -> pd.Series:
    """The landmark of each photo, by photo_id; each photo of no landmark counts as a landmark of its own."""
    photos, truth = read_table(study.photos, "photos"), read_table(study.truth.parent, "landmarks")
    landmark = photos.merge(truth, on="path", how="left").set_index("photo_id")["landmark"]
    return landmark.where(landmark.notna(), "stray " + landmark.index.astype(str).to_series(index=landmark.index))


def pair_precision(pairs: pd.DataFrame, members: pd.DataFrame, landmark: pd.Series) -> dict[str, float]:
    """Shares of correct pairs among all pairs, counted and not sampled. NaN if there are no such pairs.

    similar_precision: share of the similar pairs that show one landmark; dissimilar_precision: share of the pairs of photos of
    two groups that show two landmarks; group_purity: share of the photos whose landmark is the most frequent one of their
    group. landmark: by photo_id.
    """
    same = landmark.loc[pairs["query_id"]].to_numpy() == landmark.loc[pairs["positive_id"]].to_numpy()
    table = pd.crosstab(members["group_id"].to_numpy(), landmark.loc[members["photo_id"]].to_numpy()).to_numpy(dtype=np.int64)
    photos = table.sum()
    across = (photos**2 - (table.sum(1) ** 2).sum()) / 2
    false_across = ((table.sum(0) ** 2).sum() - (table**2).sum()) / 2  # pairs of one landmark in two groups
    return {
        "similar_precision": float(same.mean()) if len(same) else float("nan"),
        "dissimilar_precision": float(1 - false_across / across) if across else float("nan"),
        "group_purity": float(table.max(1).sum() / photos),
    }
