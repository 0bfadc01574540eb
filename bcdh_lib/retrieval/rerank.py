"""Query expansion: a query becomes the weighted mean of itself and its nearest photos, and is compared again.

A neighbour weighs max(0, similarity)^alpha, the query itself 1 (Radenovic, Tolias and Chum, PAMI 2018; alpha 0 is the plain mean
of Chum et al., ICCV 2007). The similarity of unit vectors is their inner product, that of codes 1 - 2 d / L at the Hamming
distance d. An expanded query of codes is a real vector, compared with codes by asymmetric distances; of vectors the mean is
scaled to unit length. No ground truth is used.

Distances tie. If a tie reaches past the last place, all of it counts, each photo with its share of the places that are left:
the mean is the expectation over random orders of the tie, and the order of the database changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import asymmetric_distances, distances, unpack
from bcdh_lib.params import Expansion

Reals = NDArray[np.float64]


def expanded_distances(queries: NDArray, database: NDArray, ignored: NDArray[np.int64], expansion: Expansion) -> Reals:
    """Distances [q, n] of the expanded queries to the database; codes uint8 or unit vectors float32.

    ignored [q]: the database row that is no neighbour of a query, such as the query itself if the benchmark ignores it; else -1.
    """
    binary = database.dtype == np.uint8
    values, means = (unpack(database), unpack(queries).astype(float)) if binary else (database, queries.astype(float))
    for row, found in enumerate(distances(queries, database).astype(np.float64)):
        if ignored[row] >= 0:
            found[ignored[row]] = np.inf
        means[row] = expanded(means[row], found, values, expansion, binary)
    return asymmetric_distances(means, database) if binary else 2 - 2 * unit(means) @ database.T.astype(np.float64)


def expanded(query: Reals, to_each: Reals, values: NDArray, expansion: Expansion, binary: bool) -> Reals:
    """The mean [L] of a query and its nearest photos, given its distances [n] (inf: no neighbour) to photos [n, L]."""
    places = min(expansion.neighbours, int(np.isfinite(to_each).sum()))
    if places == 0:
        return query
    reach = np.partition(to_each, places - 1)[places - 1]
    near = np.flatnonzero(to_each <= reach)
    levels, level, sizes = np.unique(to_each[near], return_inverse=True, return_counts=True)
    counted = np.minimum(sizes, places - (np.cumsum(sizes) - sizes))  # photos of each tie; fewer than its size in the last only
    sums = np.zeros((len(levels), len(query)))
    np.add.at(sums, level, values[near])
    similarity = 1 - levels / (len(query) / 2 if binary else 2)
    weights = np.maximum(similarity, 0) ** expansion.alpha
    total = query + (weights[:, None] * (sums * counted[:, None] / sizes[:, None])).sum(0)
    return total / (1 + weights @ counted)


def unit(vectors: NDArray) -> NDArray:
    """Vectors [..., d] scaled to unit length; a zero vector stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
