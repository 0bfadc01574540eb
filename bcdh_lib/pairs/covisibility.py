"""3D models -> similar and dissimilar pairs, without any label.

Similar: two photos of one 3D model that share enough 3D points and differ little in scale. Dissimilar: photos of two groups; a
group holds the models that verified matches connect, since they may show one landmark. Training draws the dissimilar pairs from
the table `members`: they are too many to write down.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from bcdh_lib.core.errors import StudyError

PairTables = tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]
"""What a source of pairs gives: the tables `pairs` and `members`, and the number of pairs left out, by reason."""

PHOTOS_AT_ONCE = 4096
"""Photos whose shared points are counted at once: bounds the memory of the sparse product."""


def similar_pairs(tracks: pd.DataFrame, registrations: pd.DataFrame, min_shared: float, max_scale_change: float) -> pd.DataFrame:
    """The table `pairs`: every ordered (query, positive) of one model with enough shared points and a similar scale.

    `tracks` (photo_id, point_id) and `registrations` (photo_id, model_id, scale) are the tables of the reconstruction;
    a point belongs to one model. A pair is similar if |P(query) & P(positive)| / |P(query)| > `min_shared`, and the larger scale
    is at most `max_scale_change` times the smaller one (the recipe of Radenovic et al., ECCV 2016).
    """
    registrations = registrations.sort_values("photo_id")
    photos, model, scale = (registrations[name].to_numpy() for name in ("photo_id", "model_id", "scale"))
    place = pd.Index(photos).get_indexer(tracks["photo_id"])
    rows, points = pd.factorize(tracks["point_id"])
    inside, shape = place >= 0, (len(points), len(photos))
    narrow = sparse.get_index_dtype(maxval=max(shape))
    entries = np.ones(inside.sum(), dtype=np.int32), (rows[inside].astype(narrow), place[inside].astype(narrow))
    seen_by = sparse.csr_array(entries, shape=shape)
    seen_by.data[:] = 1  # a photo may hold two observations of one point
    seen = seen_by.T.tocsr()
    n_points = np.diff(seen.indptr)

    def scale_change(query: np.ndarray, positive: np.ndarray) -> np.ndarray:
        one, other = scale[query], scale[positive]
        return np.maximum(one, other) / np.minimum(one, other)

    blocks = [(np.empty(0, dtype=np.int32),) * 3]
    for start in range(0, len(photos), PHOTOS_AT_ONCE):
        shared = seen[start : start + PHOTOS_AT_ONCE] @ seen_by
        query, positive = _coordinates(shared, start)
        similar = (shared.data > min_shared * n_points[query]) & (query != positive)
        similar[similar] = scale_change(query[similar], positive[similar]) <= max_scale_change
        shared.data[~similar] = 0
        shared.eliminate_zeros()
        shared.sort_indices()
        blocks.append((*_coordinates(shared, start), shared.data))
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


def _coordinates(block: sparse.csr_array, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each stored entry in the whole matrix; the block's first row is its row `start`."""
    rows, columns = block.tocoo(copy=False).coords
    return rows + start, columns


def split_members(registrations: pd.DataFrame, pairs: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.DataFrame:
    """The table `members`: every registered photo with its group and split. A whole group has one split.

    For each split of `shares` in turn (as in {"validation": 0.2, "test": 0}), groups are drawn at random (seeded). A group is
    added if this brings the split nearer to its share of the photos; the split gets at least one group if its share is above 0.
    All other groups are for training. The largest group is never drawn: one large place is the rule in real collections, and
    training needs it. Groups without a similar pair are not drawn either, since they could validate nothing.
    Raises StudyError if too few groups have pairs: training needs two to draw a dissimilar pair, each other split one.
    """
    members = registrations[["photo_id", "model_id", "group_id"]].assign(split="train")
    sizes = members["group_id"].value_counts()
    group_of = members.set_index("photo_id")["group_id"]
    paired = np.unique(group_of.loc[pairs["query_id"].unique()]) if len(pairs) else np.empty(0, dtype=np.int32)
    shares = {split: share for split, share in shares.items() if share > 0}
    if len(paired) < 2 + len(shares):
        needed = f"{2 + len(shares)} are needed (2 to train, 1 each for {' and '.join(shares)})"
        raise StudyError(
            f"{len(paired)} groups of 3D models have similar pairs, at least {needed}: "
            "add photos that overlap, or lower pairs.min_shared or reconstruction.min_model_size"
        )
    largest = min(paired, key=lambda group: (-sizes[group], group))
    drawn = [group for group in np.random.default_rng([seed, 3]).permutation(paired).tolist() if group != largest]
    for left, (split, share) in zip(range(len(shares) - 1, -1, -1), shares.items(), strict=True):
        free, wanted = len(drawn) - 1 - left, share * len(members)  # one more group is for training, one for each split left
        held: list[int] = []
        for group in drawn:
            if len(held) < free and abs(wanted - sizes[[*held, group]].sum()) < abs(wanted - sizes[held].sum()):
                held.append(group)
        held = held or [min(drawn, key=lambda group: sizes[group])]
        members.loc[members["group_id"].isin(held), "split"] = split
        drawn = [group for group in drawn if group not in held]
    return members


def count_dissimilar(members: pd.DataFrame) -> int:
    """The number of unordered pairs of photos of different groups."""
    sizes = members["group_id"].value_counts().to_numpy(dtype=np.int64)
    return int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
