"""How far the 3D models tell the truth, where the truth is known. The only module that reads it; nothing learns from it.

A rendered pool comes with the landmark of each photo, kept apart. Similar pairs should be two photos of one landmark,
dissimilar ones (photos of two groups of models) of two.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.study import Study


def diagnose(study: Study) -> dict[str, float]:
    """Write and return reports/diagnostics.json: the figures of `pair_precision`, none where no truth is known."""
    figures: dict[str, float] = {}
    if study.truth.is_file():
        pairs, members = read_table(study.pairs, "pairs"), read_table(study.pairs, "members")
        figures = pair_precision(pairs, members, true_landmarks(study))
    write_json(study.reports / "diagnostics.json", figures)
    return figures


def true_landmarks(study: Study) -> pd.Series:
    """The landmark of each photo, by photo_id; each stray photo is a landmark of its own."""
    photos, truth = read_table(study.photos, "photos"), read_table(study.truth.parent, "landmarks")
    landmark = photos.merge(truth, on="path", how="left").set_index("photo_id")["landmark"]
    return landmark.where(landmark.notna(), "stray " + landmark.index.astype(str).to_series(index=landmark.index))


def pair_precision(pairs: pd.DataFrame, members: pd.DataFrame, landmark: pd.Series) -> dict[str, float]:
    """Shares of truth among all pairs that the models give, counted and not sampled.

    similar_precision: similar pairs of one landmark; dissimilar_precision: pairs across groups of two landmarks;
    group_purity: photos whose landmark is the most frequent of their group. `landmark` is indexed by photo_id.
    """
    same = landmark.loc[pairs["query_id"]].to_numpy() == landmark.loc[pairs["positive_id"]].to_numpy()
    table = pd.crosstab(members["group_id"].to_numpy(), landmark.loc[members["photo_id"]].to_numpy()).to_numpy(dtype=np.int64)
    photos = table.sum()
    across = (photos**2 - (table.sum(1) ** 2).sum()) / 2
    false_across = ((table.sum(0) ** 2).sum() - (table**2).sum()) / 2  # one landmark, two groups
    return {
        "similar_precision": float(same.mean()) if len(same) else float("nan"),
        "dissimilar_precision": float(1 - false_across / across) if across else float("nan"),
        "group_purity": float(table.max(1).sum() / photos),
    }
