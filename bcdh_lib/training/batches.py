"""Batches: tuples of a query, a positive and hard negatives for the float baseline; many places at once for the hash layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from bcdh_lib.params import BaselineTraining
from bcdh_lib.training.training_set import Labelled, TrainingSet
from bcdh_lib.training.validation import distances_from


@dataclass(frozen=True)
class Batch:
    """Rows of the training set and the view of each, [n]; which pairs of them are similar and dissimilar, bool [n, n].

    A pair of one group that is not known to be similar is neither.
    """

    rows: np.ndarray
    views: np.ndarray
    similar: Tensor
    dissimilar: Tensor


class Labels:
    """What the 3D models say about the pairs of any photos of a training set: group [n], similar pairs as rows [p, 2]."""

    def __init__(self, group: np.ndarray, pairs: np.ndarray) -> None:
        n, (first, second) = len(group), pairs.T
        known = csr_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
        self.similar, self.group = (known + known.T).tocsr(), group

    def batch(self, rows: np.ndarray, views: np.ndarray | None = None) -> Batch:
        """The batch of these rows, plain views unless given."""
        similar = self.similar[rows][:, rows].toarray() > 0
        dissimilar = self.group[rows][:, None] != self.group[rows]
        plain = np.zeros(len(rows), dtype=np.int64)
        return Batch(rows, plain if views is None else views, torch.from_numpy(similar), torch.from_numpy(dissimilar))


def draw_tuples(
    training_set: TrainingSet, vectors: Tensor, settings: BaselineTraining, seed: int, round_number: int
) -> list[Batch]:
    """The float baseline's batches of a round: tuples of a query, one of its positives and its hard negatives, one a query.

    vectors [n, d] are the baseline's as the round begins; they say which negatives are hard.
    """
    generator, pairs = np.random.default_rng([seed, 4, round_number]), training_set.train_pairs
    labels = Labels(training_set.group, pairs)
    shuffled = pairs[generator.permutation(len(pairs))]
    _, first = np.unique(shuffled[:, 0], return_index=True)
    once = shuffled[np.sort(first)]  # every query with one random positive, in random order
    drawn = np.resize(once, (settings.steps_per_round * settings.tuples, 2))
    distances = distances_from(vectors.numpy(), drawn[:, 0], None)
    negatives = mine_negatives(training_set, distances, drawn[:, 0], settings.negatives)
    tuples = np.concatenate([drawn, negatives], 1).reshape(settings.steps_per_round, -1)
    views = generator.integers(0, 1 + settings.views, tuples.shape)
    return [labels.batch(rows, view) for rows, view in zip(tuples, views, strict=True)]


def mine_negatives(training_set: TrainingSet, distances: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Hard negatives [q, count]: the nearest training photos of other groups, at most one a group, by `distances` [q, n].

    Equal distances go by row number. If there are fewer other groups than `count`, they repeat in the same order.
    """
    train, group = np.flatnonzero(training_set.train), training_set.group
    found = np.empty((len(queries), count), dtype=np.int64)
    for place, query in enumerate(queries):
        nearest = train[np.argsort(distances[place, train], kind="stable")]
        nearest = nearest[group[nearest] != group[query]]
        _, first = np.unique(group[nearest], return_index=True)
        found[place] = np.resize(nearest[np.sort(first)], count)
    return found


def draw_places(
    training_set: Labelled, photos: int, places: int, seed: int, similar: Literal["group", "pairs"] = "pairs"
) -> Iterator[Batch]:
    """The hash layer's batches, without end: about `photos` photos of `places` groups, or of as many as there are.

    similar: "group" calls any two photos of one group of 3D models similar; "pairs" only those that share enough points. Of each
    group a random photo and random positives of it, so a batch knows many similar pairs however large the groups are; of each
    photo a random view.
    """
    pairs = _pairs_of_groups(training_set) if similar == "group" else training_set.train_pairs
    generator, labels = np.random.default_rng([seed, 6]), Labels(training_set.group, pairs)
    queries = np.unique(pairs[:, 0])
    groups, first = np.unique(training_set.group[queries], return_inverse=True)
    of_group = [queries[first == number] for number in range(len(groups))]
    count = min(places, len(groups))
    while True:
        chosen = [generator.choice(of_group[number]) for number in generator.permutation(len(groups))[:count]]
        rows = np.concatenate([_with_positives(labels, query, photos // count, generator) for query in chosen])
        yield labels.batch(rows, generator.integers(0, training_set.view_count, len(rows)))


def _pairs_of_groups(training_set: Labelled) -> np.ndarray:
    """All pairs [p, 2] of training photos of one group, for groups that have similar pairs."""
    group, paired = training_set.group, np.unique(training_set.group[training_set.train_pairs[:, 0]])
    rows = np.flatnonzero(training_set.train & np.isin(group, paired))
    first, second = np.nonzero(group[rows][:, None] == group[rows])
    return np.stack([rows[first], rows[second]], 1)[first != second]


def _with_positives(labels: Labels, query: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """A photo and up to count - 1 of its positives."""
    similar = labels.similar
    positives = similar.indices[similar.indptr[query] : similar.indptr[query + 1]]
    return np.concatenate([[query], generator.permutation(positives)[: count - 1]])
