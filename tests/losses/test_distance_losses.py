"""What distances cost: by hand, and monotone as the code step needs it."""

from math import e, log

import pytest
import torch

from bcdh_lib.losses.distance_losses import DISTANCE_LOSSES

BY_HAND = {  # distance 1 and 5 at a margin of 4 bits: similar, then dissimilar
    "linear": ([1, 5], [3, -1]),
    "hinge": ([1, 5], [3, 0]),
    "squared": ([1 / 4, 25 / 4], [9 / 4, 0]),
    "logistic": ([log(1 + e**-3), log(1 + e)], [log(1 + e**3), log(1 + e**-1)]),
    "saturating": ([log(1 + e**-6) / 2, log(1 + e**2) / 2], [9 / 8, 0]),
}


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
def test_by_hand(name):
    distance, label = torch.tensor([[1.0, 5.0]]).double(), torch.tensor([[True], [False]])
    for found, expected in zip(DISTANCE_LOSSES[name](distance, label, 4.0), BY_HAND[name], strict=True):
        assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("margin", [0.5, 7.3, 20.0])
def test_monotone_and_convex(name, margin):
    cost = DISTANCE_LOSSES[name](torch.arange(21.0).double()[None], torch.tensor([[True], [False]]), margin)
    assert (cost[0].diff() >= 0).all()
    assert (cost[1].diff() <= 0).all()
    assert (cost.diff(n=2) >= -1e-12).all()
