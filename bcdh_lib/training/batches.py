"""Batches: tuples of a query, a positive and hard negatives for the float baseline; many places at once for the hash layer."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from bcdh_lib.core.codes import distances
from bcdh_lib.params import BaselineTraining
from bcdh_lib.training.training_set import TrainingSet


@dataclass(frozen=True)
class Batch:
    """Rows of the training set and the view of each, [n]; which pairs of them are similar and dissimilar, bool [n, n]."""

    rows: np.ndarray
    views: np.ndarray
    similar: Tensor
    dissimilar: Tensor


def draw_tuples(
    training_set: TrainingSet, vectors: Tensor, settings: BaselineTraining, seed: int, round_number: int
) -> list[Batch]:
    """The float baseline's batches of a round: tuples of a query, one of its positives and its hard negatives, one a query.

    vectors [n, d] are the baseline's as the round begins; they say which negatives are hard. A pair of one group that is not
    known to be similar is neither similar nor dissimilar.
    """
    generator, pairs = np.random.default_rng([seed, 4, round_number]), training_set.train_pairs
    group, known = training_set.group, csr_array((np.ones(len(pairs)), pairs.T), shape=2 * training_set.group.shape)
    known = (known + known.T).tocsr()
    shuffled = pairs[generator.permutation(len(pairs))]
    _, first = np.unique(shuffled[:, 0], return_index=True)
    once = shuffled[np.sort(first)]  # every query with one random positive, in random order
    drawn = np.resize(once, (settings.steps_per_round * settings.tuples, 2))
    away = distances(vectors.numpy()[drawn[:, 0]], vectors.numpy())
    negatives = mine_negatives(training_set, away, drawn[:, 0], settings.negatives)
    tuples = np.concatenate([drawn, negatives], 1).reshape(settings.steps_per_round, -1)
    views = generator.integers(0, 1 + settings.views, tuples.shape)
    similar = [torch.from_numpy(known[rows][:, rows].toarray() > 0) for rows in tuples]
    dissimilar = [torch.from_numpy(group[rows][:, None] != group[rows]) for rows in tuples]
    return [Batch(*parts) for parts in zip(tuples, views, similar, dissimilar, strict=True)]


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


def draw_places(training_set: TrainingSet, photos: int, places: int, seed: int) -> Iterator[Batch]:
    """The hash layer's batches, without end: about `photos` photos of `places` groups, or of as many as there are.

    Any two photos of one group of 3D models are similar. Groups without a similar pair for training take no part. Of each photo
    a random view.
    """
    generator, train, group = np.random.default_rng([seed, 6]), training_set.train, training_set.group
    members = [np.flatnonzero(train & (group == name)) for name in np.unique(group[training_set.train_pairs[:, 0]])]
    count = min(places, len(members))
    each = max(photos // count, 1)
    while True:
        chosen = [(generator.choice(members[number]), members[number]) for number in generator.permutation(len(members))[:count]]
        drawn = [[one, *generator.permutation(rows[rows != one])[: each - 1]] for one, rows in chosen]
        rows = np.concatenate(drawn)
        same = torch.from_numpy(group[rows][:, None] == group[rows])
        views = generator.integers(0, training_set.views.shape[1], len(rows))
        yield Batch(rows, views, same & ~torch.eye(len(rows), dtype=torch.bool), ~same)
