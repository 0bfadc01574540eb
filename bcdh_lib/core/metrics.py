"""Metrics of a ranking: two average precisions, precision at k, precision-recall; exact under ties.

Hamming distances tie massively, so a ranking is stored as a list of ties. For each query and each distance value, in increasing
order, `sizes` counts the database photos at that distance and `hits` the positives among them. Junk (and the query itself, if
the protocol says so) is dropped before counting, which closes the ranks up. Every metric is the expectation over a uniformly
random order within each tie; the best and the worst order bound it. None depends on the database's order.

The two average precisions (R = all positives of the query, j = 0.. the positives in order, r = a positive's zero-based rank):
- trapezoid, the official program of Oxford5k, Paris6k and Holidays: (1/R) sum_j (p0 + p1)/2, p0 = 1 if r = 0 else j/r,
  p1 = (j+1)/(r+1);
- rectangle, the hashing papers: (1/R) sum_j (j+1)/(r+1).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Order = Literal["expected", "best", "worst"]
Rule = Literal["trapezoid", "rectangle"]


@dataclass(frozen=True)
class Ties:
    """Rankings of q queries as ties: `sizes` and `hits`, int64 [q, t], tie 0 nearest; empty ties have size 0."""

    sizes: Counts
    hits: Counts

    @property
    def positives(self) -> Counts:
        """R of each query, [q]."""
        return self.hits.sum(1)


def ties_of_distances(distances: NDArray, positive: NDArray[np.bool_], junk: NDArray[np.bool_] | None = None) -> Ties:
    """The ties of distances [q, n] (smaller is nearer), given which photos are positive and which are junk, bool [q, n].

    An integer distance is the number of its tie. Real distances are ranked; equal values tie. A photo that is both positive and
    junk counts as junk. Raises ValueError on a NaN distance or if shapes differ.
    """
    shapes = [each.shape for each in (distances, positive, junk) if each is not None]
    if distances.ndim != 2 or len(set(shapes)) > 1:
        raise ValueError(f"distances, positive and junk must have one shape [q, n], and have {shapes}")
    if not np.issubdtype(distances.dtype, np.integer):
        if np.isnan(distances).any():
            raise ValueError("a distance is NaN: the network's outputs are not finite")
        ranks = [np.unique(row, return_inverse=True)[1] for row in distances]
        distances = np.array(ranks, dtype=np.int64).reshape(distances.shape)
    width = int(distances.max(initial=0)) + 1
    sizes, hits = tally(distances, width), positive
    if junk is not None:
        sizes, hits = sizes - _tally_of(junk, distances, width), positive & ~junk
    return Ties(sizes=sizes, hits=_tally_of(hits, distances, width))


def _tally_of(chosen: NDArray[np.bool_], distances: NDArray, width: int) -> Counts:
    """How many of the chosen photos, which are few, lie at each distance, [q, width]."""
    places = np.flatnonzero(chosen)
    cells = distances.reshape(-1)[places].astype(np.int64) + width * (places // max(chosen.shape[1], 1))
    return np.bincount(cells, minlength=len(distances) * width).reshape(-1, width)


def tally(distances: NDArray, width: int) -> Counts:
    """How many photos lie at each distance 0 to width - 1 from each query, [q, width], given integer distances [q, n]."""
    counts, narrow = np.empty((len(distances), width), dtype=np.int64), np.uint8 if width <= 256 else np.int64
    # Row by row the distances stay in the processor's cache; torch counts bytes directly, numpy would widen them first.
    for count, row in zip(counts, distances, strict=True):
        count[:] = torch.bincount(torch.from_numpy(row.astype(narrow)), minlength=width)
    return counts


def average_precision(ties: Ties, rule: Rule, order: Order = "expected") -> Floats:
    """Average precision of each query, [q]; NaN for a query without positives (leave it out of the mean and count it).

    The expectation has a closed form. Take a tie of n photos, g of them positive, that starts at rank s after c positives. Its
    photo at place i is positive with probability g/n, and then (g-1)/(n-1) i of the tie's photos before it are positive on
    average. The sum over i of (c + 1 + beta i)/(s + i + 1) is n beta + (c + 1 - beta (s+1)) (H_{s+n} - H_s),
    with H the harmonic numbers; likewise for p0 (McSherry and Najork, ECIR 2008, for the rectangle). In the best and the
    worst order the positives form one block: n = g, beta = 1.
    """
    n, g = ties.sizes.astype(np.float64), ties.hits.astype(np.float64)
    start, before = np.cumsum(n, 1) - n, np.cumsum(g, 1) - g
    if order == "expected":
        chance = np.divide(g, n, out=np.zeros_like(n), where=n > 0)
        growth = np.divide(g - 1, n - 1, out=np.zeros_like(n), where=n > 1)
    else:
        start = start if order == "best" else start + (n - g)
        chance, growth, n = np.ones_like(g), np.ones_like(g), g
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(ties.sizes.sum(1).max(initial=0)) + 1))])

    def summed(hits_before: Floats, rank: Floats, places: Floats) -> Floats:
        """Sum over i < places of (hits_before + growth i) / (rank + i), rank >= 1."""
        first, last = rank.astype(np.int64) - 1, (rank + places).astype(np.int64) - 1
        return places * growth + (hits_before - growth * rank) * (harmonic[last] - harmonic[first])

    precision = summed(before + 1, start + 1, n)
    if rule == "trapezoid":
        # At rank 0, p0 is 1 by definition; the sum continues from rank 1.
        top = (start == 0) & (n > 0)
        precision = (precision + top + summed(before + growth * top, start + top, n - top)) / 2
    return _per_positive((chance * precision).sum(1), ties)


def precision_at(ties: Ties, k: int) -> Floats:
    """Expected share of positives among the first k photos, [q]; NaN for a query without positives."""
    start = np.cumsum(ties.sizes, 1) - ties.sizes
    seen = np.divide(k - start, ties.sizes, out=np.zeros(ties.sizes.shape), where=ties.sizes > 0).clip(0, 1)
    return np.where(ties.positives > 0, (ties.hits * seen).sum(1) / k, np.nan)


def recall_within(ties: Ties, radius: int) -> Floats:
    """Share of a query's positives inside a Hamming radius (bits, inclusive), [q]; NaN for a query without positives."""
    return _per_positive(ties.hits[:, : radius + 1].sum(1), ties)


def precision_at_recall(ties: Ties, levels: Floats) -> Floats:
    """Precision at the point where a ranking reaches each recall level in (0, 1], [q, levels]; NaN for a query without positives.

    A ranking cut inside a tie holds the tie's positives and negatives in proportion.
    """
    sizes, hits = np.cumsum(ties.sizes, 1), np.cumsum(ties.hits, 1)
    curve = np.full((len(sizes), len(levels)), np.nan)
    for query in np.flatnonzero(ties.positives):
        wanted = levels * hits[query, -1]
        tie = np.searchsorted(hits[query], wanted - 1e-9)
        missing = (hits[query, tie] - wanted) / ties.hits[query, tie]
        curve[query] = wanted / (sizes[query, tie] - missing * ties.sizes[query, tie])
    return curve


def _per_positive(values: NDArray, ties: Ties) -> Floats:
    total = ties.positives
    return np.divide(values, total, out=np.full(len(total), np.nan), where=total > 0)
