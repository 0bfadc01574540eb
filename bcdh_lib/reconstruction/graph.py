"""The graph of photos whose edges are verified matches; guards against fused look-alikes and a landmark in several models."""

import numpy as np
import pandas as pd
import scipy.sparse as sparse
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components


def verified_pairs(matches: pd.DataFrame, min_inliers: int) -> np.ndarray:
    """The pairs of the table `candidates` with at least `min_inliers` verified matches, photo ids, int64 [n, 2]."""
    return matches.loc[matches.inliers >= min_inliers, ["photo_id", "other_id"]].to_numpy(dtype=np.int64)


def graph_of(edges: np.ndarray) -> tuple[np.ndarray, sparse.coo_array]:
    """The photos with an edge, by id, and the graph over them: 1 at each edge, one way. edges: photo ids, int [n, 2]."""
    photos, ends = np.unique(edges, return_inverse=True)
    first, second = ends.reshape(-1, 2).T
    return photos, sparse.coo_array((np.ones(len(edges)), (first, second)), shape=(len(photos), len(photos)))


def components(edges: np.ndarray) -> list[np.ndarray]:
    """The connected components of a graph of photos. edges: photo ids, int [n, 2].

    Returns the photo ids of each, sorted; the component with the smallest id comes first. Photos without an edge are in none.
    """
    photos, graph = graph_of(edges)
    label = connected_components(graph, directed=False)[1]
    order = np.argsort(label, kind="stable")
    parts = np.split(photos[order], np.cumsum(np.bincount(label))[:-1]) if len(photos) else []
    return sorted(parts, key=lambda part: part[0])


def split_at_bridges(sees: sparse.csr_array, max_bridge: float, min_size: int) -> list[np.ndarray]:
    """The dense parts of a model, split if only a weak bridge of shared points connects them.

    A few false matches can fuse look-alikes, although each photo otherwise sees its own landmark. The weight between two photos
    is the cosine of the sets of points that they see. The photos are cut in two along the Fiedler vector, at the least
    normalised cut (Shi and Malik, 2000), if both sides keep `min_size` photos and the cut carries less than `max_bridge` of the
    smaller side's weight. Each side is then split in the same way.

    sees: 0/1 [photos, points]. Returns the rows of each part, sorted; a model without bridges is one part.
    """
    pending, parts = [np.arange(sees.shape[0])], []
    while pending:
        rows = pending.pop()
        sides = _weakest_cut(sees[rows], min_size, max_bridge)
        if sides is None:
            parts.append(rows)
        else:
            pending += [np.sort(rows[side]) for side in sides]
    return sorted((part for part in parts if len(part)), key=lambda part: part[0])


def _weakest_cut(sees: sparse.csr_array, min_size: int, max_bridge: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The rows of the two sides of the cut, or None if no cut is weak enough."""
    shared = (sees @ sees.T).toarray().astype(np.float64)
    seen = np.sqrt(np.diag(shared))
    weights = shared / np.maximum(np.outer(seen, seen), 1e-12)
    np.fill_diagonal(weights, 0)
    photos, degree = len(weights), weights.sum(axis=0)
    if photos < 2 * min_size or not degree.all():
        return None
    scale = 1 / np.sqrt(degree)
    _, fiedler = eigh(np.eye(photos) - weights * np.outer(scale, scale), subset_by_index=[1, 1])
    order = np.argsort(fiedler[:, 0] * scale, kind="stable")
    # The weight between the first k photos and the rest, for all k: the sum of their degrees less twice the weight among them.
    inside = np.cumsum(np.tril(weights[np.ix_(order, order)]).sum(axis=1))
    volume = np.cumsum(degree[order])
    across = (volume - 2 * inside) / np.minimum(volume, volume[-1] - volume + 1e-12)
    sizes = np.arange(min_size, photos - min_size + 1)
    first = sizes[np.argmin(across[sizes - 1])]
    return (order[:first], order[first:]) if across[first - 1] < max_bridge else None


def group_models(model_of: pd.Series, matches: pd.DataFrame, min_link_inliers: int) -> tuple[pd.Series, np.ndarray]:
    """Models share a group if verified matches connect them, directly or through photos in no model.

    model_of: model_id by photo_id; matches: the table `candidates`. Two photos are linked if they have `min_link_inliers`
    verified matches or are in one model.
    Returns group_id by model_id, both counted from 0 in the order of the models, and the ids of photos in no model that are
    linked with a group.
    """
    links = verified_pairs(matches, min_link_inliers)
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
