"""Two guards against a pile that lies: look-alikes fused into one model, and one landmark split into several models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sparse
from scipy.linalg import eigh

from bcdh_lib.reconstruction.matches import components


def split_at_bridges(sees: sparse.csr_array, max_bridge: float, min_size: int) -> list[np.ndarray]:
    """The dense parts of a model, torn where only a weak bridge of shared points holds two of them together.

    Look-alikes are fused by few false matches between photos of which each otherwise sees its own landmark. The photos of a
    model, joined by their shared points (the cosine of what two of them see), are cut in two where the normalised cut is
    least among those along the Fiedler vector (Shi and Malik, 2000), if both sides keep `min_size` photos and the cut carries
    less than `max_bridge` of the smaller side's joins; and so on with each side. As the cut carries so little, a good model
    that is torn (a long walk along a street) loses at most that share of what its photos have in common.

    sees: 0/1 [photos, points]. Returns the rows of each part, sorted; a model without bridges is one part.
    """
    pending, parts = [np.arange(sees.shape[0])], []
    while pending:
        rows = pending.pop()
        sides = _weakest_cut(_joins(sees[rows]), min_size, max_bridge)
        if sides is None:
            parts.append(rows)
        else:
            pending += [np.sort(rows[side]) for side in sides]
    return sorted((part for part in parts if len(part)), key=lambda part: part[0])


def _joins(sees: sparse.csr_array) -> np.ndarray:
    shared = (sees @ sees.T).toarray().astype(np.float64)
    seen = np.sqrt(np.diag(shared))
    joins = shared / np.maximum(np.outer(seen, seen), 1e-12)
    np.fill_diagonal(joins, 0)
    return joins


def _weakest_cut(joins: np.ndarray, min_size: int, max_bridge: float) -> tuple[np.ndarray, np.ndarray] | None:
    photos, degree = len(joins), joins.sum(axis=0)
    if photos < 2 * min_size or not degree.all():
        return None
    scale = 1 / np.sqrt(degree)
    _, fiedler = eigh(np.eye(photos) - joins * np.outer(scale, scale), subset_by_index=[1, 1])
    order = np.argsort(fiedler[:, 0] * scale, kind="stable")
    # The joins between the first k photos and the rest, for all k: their degrees, less twice what they have inside.
    inside = np.cumsum(np.tril(joins[np.ix_(order, order)]).sum(axis=1))
    volume = np.cumsum(degree[order])
    across = (volume - 2 * inside) / np.minimum(volume, volume[-1] - volume + 1e-12)
    sizes = np.arange(min_size, photos - min_size + 1)
    first = sizes[np.argmin(across[sizes - 1])]
    return (order[:first], order[first:]) if across[first - 1] < max_bridge else None


def group_models(model_of: pd.Series, matches: pd.DataFrame, min_link_inliers: int) -> tuple[pd.Series, np.ndarray]:
    """Models that verified matches connect, directly or over photos in no model, share a group.

    model_of: model_id by photo_id; matches: the table `candidates`. Two photos are linked by `min_link_inliers` verified
    matches, or by being in one model.
    Returns group_id by model_id, both counted from 0 in the order of the models, and the photo ids in no model that links
    connect with a group.
    """
    links = matches.loc[matches.inliers >= min_link_inliers, ["photo_id", "other_id"]].to_numpy()
    one_a_model = model_of.groupby(model_of).transform(lambda photos: photos.index[0])
    chains = np.stack([model_of.index, one_a_model], axis=1).reshape(-1, 2)
    group_of: dict[int, int] = {}
    linked = [np.zeros(0, np.int64)]
    for photos in components(np.concatenate([links, chains])):
        models = np.unique(model_of.reindex(photos).dropna()).astype(int)
        if len(models):
            group_of |= dict.fromkeys(models.tolist(), int(models[0]))
            linked.append(np.setdiff1d(photos, model_of.index))
    groups = pd.Series(group_of, dtype=np.int64).sort_index()
    return pd.Series(np.unique(groups, return_inverse=True)[1], index=groups.index), np.sort(np.concatenate(linked))
