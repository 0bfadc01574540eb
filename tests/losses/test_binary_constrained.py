"""The energy and its code step: by hand, against brute force over all code pairs, and at the edges."""

from itertools import product

import pytest
import torch

from bcdh_lib.losses import make_loss
from bcdh_lib.losses.binary_constrained import code_step, hinge

DISTANCE_LOSSES = {
    "hinge": lambda d, s: hinge(d, s, 2.5),
    "squared": lambda d, s: (d**2).where(s, (3 - d).clamp(min=0) ** 2),
    "logistic": lambda d, s: torch.nn.functional.softplus((2 * d - 4).where(s, 4 - 2 * d)),
    "steps": lambda d, s: (d > 1).to(d.dtype).where(s, (d < 3).to(d.dtype)),
}


def energy(u, v, a, b, similar, distance_loss, weight):
    distance = (a != b).sum(-1, keepdim=True).to(u.dtype)
    quantization = (u - a).square().sum(-1) + (v - b).square().sum(-1)
    return distance_loss(distance, similar[:, None]).squeeze(-1) + weight / 2 * quantization


def brute_force(u, v, similar, distance_loss, weight):
    codes = torch.tensor(list(product([-1.0, 1.0], repeat=u.shape[1])), dtype=u.dtype)
    values = [energy(u, v, a.expand_as(u), b.expand_as(v), similar, distance_loss, weight) for a, b in product(codes, codes)]
    return torch.stack(values).min(0).values


def test_by_hand():
    """Similar pair, one weak disagreeing bit (u = .1) and one strong (2, -2): flipping the weak costs 2 * .5 * .1 and saves 1."""
    u, v = torch.tensor([[0.1, 2.0, 1.0]]), torch.tensor([[-1.0, -2.0, 1.0]])
    a, b = code_step(u, v, torch.tensor([True]), DISTANCE_LOSSES["hinge"], 0.5)
    assert a.tolist() == [[-1, 1, 1]]
    assert b.tolist() == [[-1, -1, 1]]
    loss = make_loss("binary_constrained", 3, {"quantization_weight": 0.5, "margin": 1.0})
    value = loss(torch.cat([u, v]), torch.tensor([[0, 1]]), torch.tensor([True]))
    assert value.item() == pytest.approx(1 + 0.25 * (1.1**2 + 1 + 1))


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("weight", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_equals_brute_force(name, weight, bits):
    torch.manual_seed(bits)
    u, v = torch.randn(2, 40, bits, dtype=torch.float64) * 1.5
    similar = torch.arange(40) % 2 == 0
    a, b = code_step(u, v, similar, DISTANCE_LOSSES[name], weight)
    found = energy(u, v, a, b, similar, DISTANCE_LOSSES[name], weight)
    torch.testing.assert_close(found, brute_force(u, v, similar, DISTANCE_LOSSES[name], weight))


def test_gradient_equals_finite_differences_and_the_envelope():
    torch.manual_seed(0)
    loss = make_loss("binary_constrained", 8, {"quantization_weight": 0.4, "margin": 0.5})
    outputs = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    pairs, similar = torch.tensor([[0, 1], [2, 3], [4, 5]]), torch.tensor([True, False, True])
    assert torch.autograd.gradcheck(lambda x: loss(x, pairs, similar), outputs, eps=1e-7)
    loss(outputs, pairs, similar).sum().backward()
    u, v = outputs.detach()[pairs[:, 0]], outputs.detach()[pairs[:, 1]]
    a, b = code_step(u, v, similar, loss.distance_loss, 0.4)
    torch.testing.assert_close(outputs.grad, 0.4 * torch.stack([u - a, v - b], 1).flatten(0, 1))


def test_invariant_to_permuting_bits_and_flipping_a_bit_of_both():
    torch.manual_seed(1)
    loss = make_loss("binary_constrained", 16, {"quantization_weight": 0.3, "margin": 0.6})
    outputs, pairs = torch.randn(10, 16, dtype=torch.float64), torch.arange(10).reshape(5, 2)
    similar = torch.arange(5) < 2
    value = loss(outputs, pairs, similar)
    assert (value >= 0).all()
    torch.testing.assert_close(loss(outputs[:, torch.randperm(16)], pairs, similar), value)
    flip = torch.ones(16, dtype=torch.float64).index_fill_(0, torch.tensor([3, 7]), -1)
    torch.testing.assert_close(loss(outputs * flip, pairs, similar), value)


def test_continuous_where_the_minimising_code_changes():
    loss = make_loss("binary_constrained", 4, {"quantization_weight": 0.7, "margin": 1.0})
    path = torch.linspace(-2, 2, 4001, dtype=torch.float64)[:, None] * torch.tensor([1.0, -0.3, 0.2, 0.7], dtype=torch.float64)
    other = torch.tensor([[0.4, 0.9, -0.2, 0.1]], dtype=torch.float64)
    outputs = torch.cat([other, path])
    pairs = torch.stack([torch.zeros(4001, dtype=torch.long), torch.arange(1, 4002)], 1)
    for similar in (True, False):
        value = loss(outputs, pairs, torch.full((4001,), similar))
        assert value.diff().abs().max() < 0.01


def test_degenerate():
    loss = make_loss("binary_constrained", 8, {"quantization_weight": 0.4, "margin": 0.5})
    none = loss(torch.zeros(2, 8), torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.bool))
    assert none.shape == (0,)
    a, b = code_step(torch.zeros(1, 8), torch.zeros(1, 8), torch.tensor([True]), loss.distance_loss, 0.4)
    assert (a == 1).all()
    assert (b == 1).all()
    a, b = code_step(torch.zeros(1, 8), torch.zeros(1, 8), torch.tensor([False]), loss.distance_loss, 0.4)
    assert (a != b).sum() == 4
