"""Every registered loss on a tiny case, and the formulas of the compared ones by hand."""

import pytest
import torch

from bcdh_lib.losses import LOSSES, make_loss
from bcdh_lib.losses.pairwise import sgn
from bcdh_lib.study import open_study

SETTINGS = open_study().params.losses


@pytest.mark.parametrize("method", LOSSES)
def test_every_loss_brings_similar_together_and_dissimilar_apart(method):
    torch.manual_seed(0)
    outputs = torch.nn.Parameter(torch.randn(4, 32) * 0.5)
    loss = make_loss(method, 32, SETTINGS[method])
    pairs, similar = torch.tensor([[0, 1], [0, 2], [1, 3]]), torch.tensor([True, False, False])
    optimiser = torch.optim.Adam([outputs], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        values = loss(outputs, pairs, similar)
        assert values.shape == (3,)
        values.sum().backward()
        optimiser.step()
    codes = sgn(outputs.detach())
    distance = (codes[pairs[:, 0]] != codes[pairs[:, 1]]).sum(1)
    assert distance[0] < distance[1:].min()


@pytest.mark.parametrize("method", LOSSES)
def test_every_loss_is_finite_for_huge_zero_and_no_outputs(method):
    loss = make_loss(method, 16, SETTINGS[method])
    pairs, similar = torch.tensor([[0, 1], [0, 1]]), torch.tensor([True, False])
    for scale in (0.0, 50.0):
        outputs = (torch.ones(2, 16) * scale).requires_grad_()
        value = loss(outputs, pairs, similar)
        value.sum().backward()
        assert value.isfinite().all()
        assert outputs.grad.isfinite().all()
    assert loss(torch.zeros(2, 16), pairs[:0], similar[:0]).shape == (0,)


def test_sgn_of_zero_is_plus_one():
    assert sgn(torch.tensor([-2.0, 0.0, -0.0, 3.0])).tolist() == [-1, 1, 1, 1]


def test_contrastive_by_hand():
    """Unit vectors at a right angle: D = sqrt 2; similar pays D^2 / 2 = 1, dissimilar (1.5 - sqrt 2)^2 / 2."""
    loss = make_loss("contrastive", 2, {"margin": 1.5})
    outputs, pairs = torch.tensor([[3.0, 0.0], [0.0, 5.0]]), torch.tensor([[0, 1], [0, 1]])
    value = loss(outputs, pairs, torch.tensor([True, False]))
    assert value.tolist() == pytest.approx([1.0, (1.5 - 2**0.5) ** 2 / 2], abs=1e-5)


def test_dsh_by_hand():
    """L = 2, m = 4, u = (1, -1), v = (.5, -1): ||u-v||^2 = .25, || |v|-1 ||_1 = .5."""
    loss = make_loss("dsh", 2, {"quantization_weight": 0.1})
    outputs, pairs = torch.tensor([[1.0, -1.0], [0.5, -1.0]]), torch.tensor([[0, 1], [0, 1]])
    value = loss(outputs, pairs, torch.tensor([True, False]))
    assert value.tolist() == pytest.approx([0.125 + 0.05, 1.875 + 0.05])
