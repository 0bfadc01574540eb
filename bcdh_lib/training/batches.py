"""What a round of training sees: tuples of a query, a positive and hard negatives, and the pairs known among a batch's photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bcdh_lib.params import Params
from bcdh_lib.training.training_set import TrainingSet, distances_from


def mine_negatives(training_set: TrainingSet, distances: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Hard negatives [q, count]: the nearest training photos of other groups, at most one a group, by `distances` [q, n].

    Equal distances go by row number. Where there are fewer other groups than `count`, they repeat in the same order.
    """
    train, group = np.flatnonzero(training_set.train), training_set.group
    found = np.empty((len(queries), count), dtype=np.int64)
    for place, query in enumerate(queries):
        nearest = train[np.argsort(distances[place, train], kind="stable")]
        nearest = nearest[group[nearest] != group[query]]
        _, first = np.unique(group[nearest], return_index=True)
        found[place] = np.resize(nearest[np.sort(first)], count)
    return found


@dataclass(frozen=True)
class Batch:
    """Rows of the training set and the view of each, [n]; pairs of places in the batch [p, 2], and whether similar [p]."""

    rows: np.ndarray
    views: np.ndarray
    pairs: Tensor
    similar: Tensor


def draw_round(training_set: TrainingSet, outputs: Tensor, bits: int | None, params: Params, round_number: int) -> list[Batch]:
    """The batches of a round: tuples of a query, one of its positives and its hard negatives, one tuple a query."""
    settings, generator = params.training, np.random.default_rng([params.run.seed, 4, round_number])
    pairs = training_set.train_pairs
    shuffled = pairs[generator.permutation(len(pairs))]
    _, first = np.unique(shuffled[:, 0], return_index=True)
    once = shuffled[np.sort(first)]  # every query with one random positive, in random order
    drawn = np.resize(once, (settings.steps_per_round * settings.tuples, 2))
    distances = distances_from(outputs, drawn[:, 0], bits)
    negatives = mine_negatives(training_set, distances, drawn[:, 0], settings.negatives)
    tuples = np.concatenate([drawn, negatives], 1).reshape(settings.steps_per_round, -1)
    views = generator.integers(0, 1 + settings.views, tuples.shape)
    return [Batch(rows, view, *_pairs_in(training_set, rows)) for rows, view in zip(tuples, views, strict=True)]


def _pairs_in(training_set: TrainingSet, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Every pair of places in a batch of which the models say something: known similar, or of two groups."""
    first, second = np.triu_indices(len(rows), 1)
    apart = training_set.group[rows[first]] != training_set.group[rows[second]]
    n = len(training_set.group)
    known = np.isin(
        np.minimum(rows[first], rows[second]) * n + np.maximum(rows[first], rows[second]),
        training_set.pairs.min(1) * n + training_set.pairs.max(1),
    )
    said = apart | known
    return torch.from_numpy(np.stack([first, second], 1)[said]), torch.from_numpy(known[said])
