"""Statistics of bits by hand and by plain loops; gradients against a backward pass written out; codes of nothing."""

import numpy as np
import pytest
import torch

from bcdh_lib.comparison.bit_statistics import bit_statistics, gradient_statistics
from bcdh_lib.params import TrainingRun
from bcdh_lib.training.train import make_run
from bcdh_lib.training.training_set import settle


def test_by_hand():
    """Four photos of two groups, twice the same four bits: one never moves, one is even, two are one another's opposites."""
    signs = np.tile(np.array([[1, 1, 1, -1], [1, 1, 1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=np.float32), 2)
    found = bit_statistics(1.5 * signs, np.array([0, 0, 1, 1]))
    assert found["frozen_bits"] == 0.25
    assert found["imbalance"] == pytest.approx((1 + 0 + 0.5 + 0.5) / 4)
    # 15 pairs of the six that move: an even bit with itself, the opposites among themselves, and 8 of the one with the others
    assert found["correlation"] == pytest.approx((1 + 6 * 1 + 8 * 2 / np.sqrt(12)) / 15)
    assert found["quantization"] == pytest.approx(0.25)
    assert found["similar_distance"] == pytest.approx((0 + 2 / 4) / 2)
    assert found["dissimilar_distance"] == pytest.approx((1 + 3 + 1 + 3) / 4 / 4)
    assert found["inside_margin"] == 0.5


def test_equal_to_plain_loops():
    random = np.random.default_rng(2)
    outputs, group = random.normal(size=(30, 16)).astype(np.float32), random.integers(0, 4, 30)
    signs = outputs >= 0
    near = {True: [], False: []}
    for a in range(30):
        for b in range(a):
            near[group[a] == group[b]].append((signs[a] != signs[b]).mean())
    found = bit_statistics(outputs, group)
    assert found["similar_distance"] == pytest.approx(np.mean(near[True]))
    assert found["inside_margin"] == pytest.approx(np.mean(np.array(near[False]) < 0.5))
    correlations = [abs(np.corrcoef(signs[:, a], signs[:, b])[0, 1]) for a in range(16) for b in range(a)]
    assert found["correlation"] == pytest.approx(np.mean(correlations))


def test_without_pairs_or_moving_bits():
    found = bit_statistics(np.ones((3, 8), np.float32), np.zeros(3, dtype=int))
    assert found["frozen_bits"] == found["imbalance"] == 1
    assert found["similar_distance"] == 0
    assert np.isnan([found["correlation"], found["dissimilar_distance"], found["inside_margin"]]).all()


def test_gradients_go_with_the_loss_and_leave_the_network_alone(training_set, params):
    """Twice the loss has twice the gradient, no loss none; nothing of the network changes."""
    network, loss = make_run(training_set, params, TrainingRun(method="dsh", bits=8))
    settle(network, training_set)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run = params.model_copy(update={"training": params.training.model_copy(update={"runs": [TrainingRun(method="dsh", bits=8)]})})
    found = gradient_statistics(network, loss, training_set, run)
    assert found["gradient_backbone"] > 0
    assert found["gradient_hash"] > 0
    twice = gradient_statistics(network, lambda *batch: 2 * loss(*batch), training_set, run)
    assert {name: 2 * value for name, value in found.items()} == pytest.approx(twice, rel=1e-5)
    none = gradient_statistics(network, lambda *batch: 0 * loss(*batch), training_set, run)
    assert set(none.values()) == {0.0}
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training
