"""The graph of photos whose edges are verified matches."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def graph_of(edges: np.ndarray) -> tuple[np.ndarray, coo_array]:
    """The photos with an edge, by id, and the graph over them: 1 at each edge, one way. edges: photo ids, int [n, 2]."""
    photos, ends = np.unique(edges, return_inverse=True)
    first, second = ends.reshape(-1, 2).T
    return photos, coo_array((np.ones(len(edges)), (first, second)), shape=(len(photos), len(photos)))


def components(edges: np.ndarray) -> list[np.ndarray]:
    """The connected components of a graph of photos. edges: photo ids, int [n, 2].

    Returns the photo ids of each, sorted; the component with the smallest id comes first. Photos without an edge are in none.
    """
    photos, graph = graph_of(edges)
    label = connected_components(graph, directed=False)[1]
    order = np.argsort(label, kind="stable")
    parts = np.split(photos[order], np.cumsum(np.bincount(label))[:-1]) if len(photos) else []
    return sorted(parts, key=lambda part: part[0])
