"""What distances cost: by hand, and monotone as the code step needs it."""

from math import comb, e, log
from statistics import NormalDist

import pytest
import torch

from bcdh_lib.training.losses.distance_losses import DISTANCE_LOSSES, chance

NORMAL = NormalDist()
NEAR, FAR = -2, 2 / 3  # of distances 1 and 5 at L = 9: (2 d + 1 - L) / sqrt(L)
SLOPE = NORMAL.pdf(3) / NORMAL.cdf(-3)
BY_HAND = {  # distance 1 and 5 at a margin of 4 bits and L = 9: similar, then dissimilar
    "linear": ([1, 5], [8, 4]),
    "hinge": ([1, 5], [3, 0]),
    "chance": ([log(1 + e ** (SLOPE * (z + 3))) for z in (NEAR, FAR)], [-log(NORMAL.cdf(z)) for z in (NEAR, FAR)]),
}


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
def test_by_hand(name):
    distance, label = torch.tensor([[1.0, 5.0]]).double(), torch.tensor([[True], [False]])
    for found, expected in zip(DISTANCE_LOSSES[name](distance, label, 4.0, 9), BY_HAND[name], strict=True):
        assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("margin", [0.5, 7.3, 20.0])
def test_monotone_and_convex(name, margin):
    cost = DISTANCE_LOSSES[name](torch.arange(21.0).double()[None], torch.tensor([[True], [False]]), margin, 20)
    assert (cost[0].diff() >= 0).all()
    assert (cost[1].diff() <= 0).all()
    assert (cost.diff(n=2) >= -1e-12).all()


@pytest.mark.parametrize(("bits", "off"), [(16, 0.16), (64, 0.05), (256, 0.02)])
def test_chance_is_that_of_independent_bits(bits, off):
    """-log P(d) against the binomial's own, as far out as one pair in a million; the rank among 741 is never too low."""
    exact = torch.tensor([sum(comb(bits, k) for k in range(d + 1)) / 2**bits for d in range(bits + 1)], dtype=torch.float64)
    cost = chance(torch.arange(bits + 1.0).double(), torch.tensor(False), 1.0, bits)
    seen = (exact > 1e-6) & (exact < 0.5)
    torch.testing.assert_close(cost[seen], -exact.log()[seen], atol=0, rtol=off)
    rank = chance(torch.arange(bits + 1.0).double(), torch.tensor(True), 1.0, bits).expm1()
    assert (rank >= torch.exp(-cost) / NORMAL.cdf(-3) * (1 - 1e-9)).all()


@pytest.mark.parametrize("bits", [1, 128, 1024])
def test_chance_at_the_ends(bits):
    """Equal codes and opposite ones, in float32: finite, and nearly 0 if the label is right."""
    cost = chance(torch.tensor([[0.0, bits]]), torch.tensor([[True], [False]]), 1.0, bits)
    assert cost.isfinite().all()
    if bits > 1:
        assert cost[0, 0] < 1e-3
        assert cost[1, 1] < 1e-3
