"""Expectations over the number of successes: by hand, against every outcome, at chances of 0 and 1, and in blocks."""

from itertools import product

import pytest
import torch

from bcdh_lib.training.losses import poisson_binomial
from bcdh_lib.training.losses.poisson_binomial import expectation


def over_every_outcome(chances, values):
    total = 0
    for outcome in product([0, 1], repeat=chances.shape[1]):
        drawn = torch.tensor(outcome, dtype=chances.dtype)
        total = total + (chances * drawn + (1 - chances) * (1 - drawn)).prod(1) * values[:, sum(outcome)]
    return total


def test_by_hand():
    """Chances .5 and .2: counts 0, 1, 2 have .4, .5, .1. Of value d^2: .5 + .4; one more chance adds 1 + 2 * the other's."""
    expected, derivative = expectation(torch.tensor([[0.5, 0.2]]), torch.tensor([[0.0, 1.0, 4.0]]))
    assert expected.tolist() == pytest.approx([0.9])
    assert derivative.flatten().tolist() == pytest.approx([1.4, 2.0])


@pytest.mark.parametrize("trials", [1, 2, 7])
def test_equals_the_sum_over_every_outcome(trials):
    torch.manual_seed(trials)
    chances = torch.rand(30, trials, dtype=torch.float64, requires_grad=True)
    values = torch.randn(30, trials + 1, dtype=torch.float64)
    slow = over_every_outcome(chances, values)
    (slope,) = torch.autograd.grad(slow.sum(), chances)
    expected, derivative = expectation(chances.detach(), values)
    torch.testing.assert_close(expected, slow.detach())
    torch.testing.assert_close(derivative, slope)


def test_certain_trials():
    chances, values = torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.tensor([[5.0, 1.0, 2.0, 7.0, 9.0]])
    expected, derivative = expectation(chances, values)
    assert expected.tolist() == [2]
    assert derivative.tolist() == [[5, 1, 1, 5]]  # values[3] - values[2], values[2] - values[1]


def test_blocks_change_nothing_and_no_rows_are_none(monkeypatch):
    chances, values = torch.rand(50, 9), torch.rand(50, 10)
    whole = expectation(chances, values)
    monkeypatch.setattr(poisson_binomial, "BLOCK", 7 * 12**2)
    for one, other in zip(whole, expectation(chances, values), strict=True):
        torch.testing.assert_close(one, other)
    assert [part.shape for part in expectation(chances[:0], values[:0])] == [(0,), (0, 9)]
