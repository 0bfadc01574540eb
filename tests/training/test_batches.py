"""Hard negatives and batches: by hand, against loops, at the edges."""

import numpy as np
import torch

from bcdh_lib.training.batches import draw_round, mine_negatives
from bcdh_lib.training.training_set import TrainingSet


def small_set(groups, train=None):
    group = np.array(groups)
    train = np.ones(len(group), dtype=bool) if train is None else np.array(train)
    return TrainingSet(torch.zeros(len(group), 2, 1, 1, 1), group, train, np.array([[0, 1], [1, 0]]), np.empty((len(group), 0)))


def test_negatives_by_hand():
    """From photo 0 of group 7: rows 3 and 2 (both group 8) are nearest, then 4 (group 9); row 5 is held apart."""
    training_set = small_set([7, 7, 8, 8, 9, 5], [True] * 5 + [False])
    distances = np.array([[0, 1, 3, 2, 4, 0]])
    assert mine_negatives(training_set, distances, np.array([0]), 2).tolist() == [[3, 4]]
    assert mine_negatives(training_set, distances, np.array([0]), 3).tolist() == [[3, 4, 3]]


def test_equal_distances_go_by_row():
    assert mine_negatives(small_set([0, 0, 1, 1, 2]), np.zeros((1, 5)), np.array([0]), 2).tolist() == [[2, 4]]


def test_negatives_equal_a_loop():
    generator = np.random.default_rng(0)
    training_set = small_set(np.sort(generator.integers(0, 8, 40)), generator.random(40) < 0.8)
    distances, queries = generator.integers(0, 9, (5, 40)), generator.integers(0, 40, 5)
    mined = mine_negatives(training_set, distances, queries, 3)
    for place, query in enumerate(queries):
        chosen, groups = [], {training_set.group[query]}
        for _, row in sorted((distances[place, row], row) for row in range(40) if training_set.train[row]):
            if training_set.group[row] not in groups:
                groups.add(training_set.group[row])
                chosen.append(row)
        assert mined[place].tolist() == chosen[:3]


def test_a_round_holds_true_pairs_of_training_photos_and_repeats_for_its_seed(training_set, params):
    outputs = torch.randn(24, 16, generator=torch.Generator().manual_seed(1))
    batches = draw_round(training_set, outputs, 16, params, 1)
    known = set(map(tuple, training_set.pairs))
    assert len(batches) == params.training.steps_per_round
    for batch in batches:
        assert training_set.train[batch.rows].all()
        assert bool(batch.similar.any())
        assert bool((~batch.similar).any())
        for (first, second), similar in zip(batch.rows[batch.pairs.numpy()], batch.similar.tolist(), strict=True):
            assert ((first, second) in known) == similar
            assert similar or training_set.group[first] != training_set.group[second]
    again, other = draw_round(training_set, outputs, 16, params, 1), draw_round(training_set, outputs, 16, params, 2)
    assert all((a.rows == b.rows).all() for a, b in zip(batches, again, strict=True))
    assert any((a.rows != b.rows).any() for a, b in zip(batches, other, strict=True))
