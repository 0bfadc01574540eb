"""3D models -> similar and dissimilar pairs. Nobody labels anything: what a photo shows is known by the points it sees.

Similar: two photos of one 3D model that share enough 3D points and differ little in scale. Dissimilar: photos of two groups of
models, where a group holds the models that verified matches connect (they may be one landmark, so no dissimilar pair is drawn
between them). The dissimilar pairs are far too many to write down; training mines the hard ones from `members`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from bcdh_lib.core.errors import StudyError

BLOCK = 4096
"""Photos whose covisibility is counted at a time: bounds the memory of the sparse product."""


def similar_pairs(tracks: pd.DataFrame, registrations: pd.DataFrame, min_shared: float, max_scale_change: float) -> pd.DataFrame:
    """The table `pairs`: every ordered (query, positive) of one model that shares enough points at about one scale.

    `tracks` (photo_id, point_id) and `registrations` (photo_id, model_id, scale) are the tables of the reconstruction;
    a point belongs to one model. Kept where |P(query) & P(positive)| / |P(query)| > `min_shared` and the ratio of the
    scales, the larger over the smaller, is at most `max_scale_change` (the recipe of Radenovic et al., ECCV 2016).
    """
    registrations = registrations.sort_values("photo_id")
    photos, model, scale = (registrations[name].to_numpy() for name in ("photo_id", "model_id", "scale"))
    seen_by = _incidence(tracks, photos)
    seen = seen_by.T.tocsr()
    n_points = np.diff(seen.indptr)

    def scale_change(query: np.ndarray, positive: np.ndarray) -> np.ndarray:
        one, other = scale[query], scale[positive]
        return np.maximum(one, other) / np.minimum(one, other)

    blocks = [(np.empty(0, dtype=np.int32),) * 3]
    for start in range(0, len(photos), BLOCK):
        shared = seen[start : start + BLOCK] @ seen_by
        query, positive = _places(shared, start)
        _drop(shared, (shared.data <= min_shared * n_points[query]) | (query == positive))
        _drop(shared, ~(scale_change(*_places(shared, start)) <= max_scale_change))
        shared.sort_indices()
        blocks.append((*_places(shared, start), shared.data))
    query, positive, count = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    columns = {
        "query_id": photos[query],
        "positive_id": photos[positive],
        "model_id": model[query],
        "shared_points": count,
        "shared_share": count / np.maximum(n_points[query], 1),
        "scale_change": scale_change(query, positive),
    }
    return pd.DataFrame(columns, copy=False)


def _places(block: sparse.csr_array, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each stored entry; the block's first row is row `start` of the whole."""
    rows, columns = block.tocoo(copy=False).coords
    return rows + start, columns


def _drop(matrix: sparse.csr_array, entries: np.ndarray) -> None:
    """Take these stored entries, bool [nnz], out of the matrix."""
    matrix.data[entries] = 0
    matrix.eliminate_zeros()


def _incidence(tracks: pd.DataFrame, photos: np.ndarray) -> sparse.csr_array:
    """Sparse 0/1 matrix [points, photos]: which 3D point is seen by which registered photo."""
    place = pd.Index(photos).get_indexer(tracks["photo_id"])
    rows, points = pd.factorize(tracks["point_id"])
    inside, shape = place >= 0, (len(points), len(photos))
    narrow = sparse.get_index_dtype(maxval=max(shape))
    seen = rows[inside].astype(narrow), place[inside].astype(narrow)
    matrix = sparse.csr_array((np.ones(len(seen[0]), dtype=np.int32), seen), shape=shape)
    matrix.data[:] = 1  # a photo may hold two observations of one point
    return matrix


def split_members(registrations: pd.DataFrame, pairs: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.DataFrame:
    """The table `members`: every registered photo with its group, whole groups held apart for the splits of `shares`.

    For each split in turn (as in {"validation": 0.2, "test": 0}) groups are drawn at random (seeded) until they hold its
    share of the photos, at least one where the share is above 0; all else is for training. Only groups with a similar pair
    are drawn, since the others could validate nothing. Raises StudyError where too few groups have pairs: training needs two
    to draw a dissimilar pair, each other split one.
    """
    members = registrations[["photo_id", "model_id", "group_id"]].copy()
    group_of = members.set_index("photo_id")["group_id"]
    paired = np.unique(group_of.loc[pairs["query_id"].unique()]) if len(pairs) else np.empty(0, dtype=np.int32)
    shares = {split: share for split, share in shares.items() if share > 0}
    if len(paired) < 2 + len(shares):
        needed = f"{2 + len(shares)} are needed (2 to train, 1 each for {' and '.join(shares)})"
        raise StudyError(
            f"{len(paired)} groups of 3D models have similar pairs, at least {needed}: "
            "add photos that overlap, or lower pairs.min_shared or reconstruction.min_model_size"
        )
    members["split"] = "train"
    drawn = list(np.random.default_rng([seed, 3]).permutation(paired))
    sizes = members["group_id"].value_counts()
    for place, (split, share) in enumerate(shares.items()):
        held = 0
        while held < share * len(members) and len(drawn) > 2 + len(shares) - 1 - place:
            group = drawn.pop(0)
            members.loc[members["group_id"] == group, "split"] = split
            held += int(sizes[group])
    return members


def count_dissimilar(members: pd.DataFrame) -> int:
    """How many unordered pairs of photos stand in different groups."""
    sizes = members["group_id"].value_counts().to_numpy(dtype=np.int64)
    return int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
