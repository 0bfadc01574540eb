"""Query expansion and database-side augmentation: a photo becomes the weighted mean of itself and its nearest in the database.

A neighbour weighs max(0, similarity)^alpha, the photo itself 1 (alpha query expansion: Radenović, Tolias and Chum, PAMI 2018;
alpha 0 is the plain mean of Chum et al., ICCV 2007). The similarity of unit vectors is their inner product, that of codes
b . b' / L = 1 - 2 d / L at the Hamming distance d. On the database's side: Turcot and Lowe (ICCV workshops 2009).

- An expanded query of codes is a real vector q in [-1, 1]^L, compared with codes by (L - q . b) / 2: the Hamming distance where
  q is a code, else that of a code drawn with the mean q, expected. Of vectors the mean is scaled to unit length again.
- An augmented photo of the database is the sign of the mean; a bit that the mean leaves at 0 stays as it was.

Distances tie, so the nearest are no fixed set. A tie that reaches past the last place enters whole, each photo with the share
of the places that are left: the mean is the expectation over a uniformly random order in the tie, as every figure of metrics.py
is, and depends on no order of the database. Nothing but distances is looked at: no ground truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances, pack, unpack
from bcdh_lib.params import Expansion
from bcdh_lib.retrieval.scales import unit

Rows = NDArray[np.int64]
Reals = NDArray[np.float64]
NONE = -1
"""The row of a photo that is not there."""
GRID = 2.0**36
"""Means of codes are rounded to multiples of 1 / GRID: sums over up to 2^16 bits then lose nothing, and equal distances tie."""
BLOCK = 256
"""Photos compared with the whole database at a time."""


def expanded_distances(
    queries: NDArray, database: NDArray, own: Rows, expansion: Expansion | None, augmentation: Expansion | None
) -> NDArray:
    """Distances [q, n] as codes.distances gives them, after augmenting the database and then expanding the queries.

    own [q]: the database row of a photo that is not there for this query, such as the query itself where the benchmark ignores
    it, or NONE. It is a neighbour neither of the query nor of any photo; its own distance means nothing.
    """
    binary = database.dtype == np.uint8 and expansion is None
    found = np.empty((len(queries), len(database)), dtype=np.uint16 if binary else np.float64)
    whole = None if augmentation is None else _augment(database, database, augmentation, np.arange(len(database))[:, None])
    for absent in np.unique(own):
        seen = database if augmentation is None or whole is None else _without(absent, database, augmentation, *whole)
        asking = own == absent
        found[asking] = _compared(_expand(queries[asking], seen, expansion, absent), seen)
    return found


def _without(absent: int, database: NDArray, augmentation: Expansion, augmented: NDArray, reach: Reals) -> NDArray:
    """The augmented database as it is where one photo is not there; `reach` as _augment gives it, with the photo there."""
    if absent == NONE:
        return augmented
    # It had a part in the means that reach as far as it; the slack is for the last digits of real distances.
    touched = np.flatnonzero(distances(database, database[[absent]])[:, 0] <= reach + 1e-5)
    left_out = np.stack([touched, np.full(len(touched), absent)], axis=1)
    seen = augmented.copy()
    seen[touched] = _augment(database[touched], database, augmentation, left_out)[0]
    return seen


def _expand(queries: NDArray, database: NDArray, expansion: Expansion | None, absent: int) -> NDArray:
    """The queries as they are compared: themselves, or real means, scaled to unit length where they are vectors."""
    if expansion is None:
        return queries
    means, _ = weighted_means(queries, database, expansion, np.full((len(queries), 1), absent))
    return means if database.dtype == np.uint8 else unit(means)


def _augment(photos: NDArray, database: NDArray, augmentation: Expansion, left_out: Rows) -> tuple[NDArray, Reals]:
    """Codes or unit vectors of the photos' means, and how far their neighbours reach, [m]."""
    means, reach = weighted_means(photos, database, augmentation, left_out)
    return pack(np.where(means == 0, unpack(photos), means)) if photos.dtype == np.uint8 else unit(means), reach


def _compared(queries: NDArray, database: NDArray) -> NDArray:
    """Distances [q, n]; of real queries and codes in bits, exact."""
    if database.dtype == np.uint8 and queries.dtype != np.uint8:
        return (queries.shape[1] - queries @ unpack(database).T.astype(np.float64)) / 2
    return distances(queries, database)


def weighted_means(photos: NDArray, database: NDArray, expansion: Expansion, left_out: Rows) -> tuple[Reals, Reals]:
    """Means [m, L] of photos (codes or unit vectors) and their neighbours, and the distance of the farthest of these, [m].

    left_out [m, k]: the rows that are no neighbours of a photo, or NONE. Without a neighbour the mean is the photo and the
    distance -inf. Time and memory grow with m n, memory by blocks of m.
    """
    binary = photos.dtype == np.uint8
    own, values = (unpack(photos), unpack(database)) if binary else (photos, database)
    means, reach = np.empty(own.shape), np.empty(len(own))
    for start in range(0, len(own), BLOCK):
        found = distances(photos[start : start + BLOCK], database).astype(np.float64)
        for row, to_each in enumerate(found, start):
            to_each[left_out[row][left_out[row] != NONE]] = np.inf
            means[row], reach[row] = _mean_around(own[row].astype(np.float64), to_each, values, expansion, binary)
    return np.round(means * GRID) / GRID if binary else means, reach


def _mean_around(own: Reals, to_each: Reals, values: NDArray, expansion: Expansion, binary: bool) -> tuple[Reals, float]:
    """The mean [L] around one photo, given its distances [n] (inf: no neighbour) to photos of these values [n, L]."""
    places = min(expansion.neighbours, int(np.isfinite(to_each).sum()))
    if places == 0:
        return own, -np.inf
    reach = float(np.partition(to_each, places - 1)[places - 1])
    near = np.flatnonzero(to_each <= reach)
    levels, level, sizes = np.unique(to_each[near], return_inverse=True, return_counts=True)
    taken = np.minimum(sizes, places - (np.cumsum(sizes) - sizes))  # of each tie; fewer than its size of the last alone
    sums = np.zeros((len(levels), len(own)))
    np.add.at(sums, level, values[near])
    similarity = 1 - levels / (len(own) / 2 if binary else 2)
    weights = np.maximum(similarity, 0) ** expansion.alpha
    total = own + (weights[:, None] * (sums * taken[:, None] / sizes[:, None])).sum(0)
    return total / (1 + weights @ taken), reach
