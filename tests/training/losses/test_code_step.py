"""The code step: by hand, against brute force over all code pairs, ties and extremes included."""

from itertools import product

import pytest
import torch

from bcdh_lib.training.losses.code_step import cheapest_flips, minimal_energies
from bcdh_lib.training.losses.pairwise import sgn

COSTS = {
    "linear": lambda d, m: (d[-1] - d, d),
    "hinge": lambda d, m: ((m - d).clamp(min=0), d),
    "squared": lambda d, m: ((d[-1] - d) ** 2, d**2),
    "step": lambda d, m: ((d < m).float(), (d > m).float()),  # not convex
}


def costs_of(name, bits):
    """l_0 and l_1 of every distance, at a margin of half the bits."""
    return torch.stack(COSTS[name](torch.arange(bits + 1.0), bits / 2))


def lowest_energy(u, v, similar, costs, weight):
    """The minimum over all 4^L pairs of codes, one by one, less the quantization error of the signs."""
    codes = torch.tensor(list(product([-1.0, 1.0], repeat=len(u))))
    distance = (codes[:, None] != codes).sum(-1)
    errors = [(x - codes).square().sum(1) - (x - sgn(x)).square().sum() for x in (u, v)]
    return (costs[int(similar)][distance] + weight / 2 * (errors[0][:, None] + errors[1])).min()


def test_by_hand():
    """Similar pair, one weak disagreeing bit (u = .1) and one strong (2, -2): flipping the weak costs 2 * .5 * .1 and saves 1."""
    u, v = torch.tensor([0.1, 2.0, 1.0]), torch.tensor([-1.0, -2.0, 1.0])
    flipped, minimum = cheapest_flips(u, v, torch.tensor(True), costs_of("linear", 3), 0.5)
    assert flipped.tolist() == [True, False, False]
    assert minimum.item() == pytest.approx(1 + 0.1)


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("weight", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("bits", [1, 3, 5])
@pytest.mark.parametrize("step", [None, 0.5])
def test_equals_brute_force(name, weight, bits, step):
    """step: outputs rounded to a grid, so that costs tie and some are 0."""
    outputs = torch.randn(8, bits, generator=torch.Generator().manual_seed(bits)) * 1.5
    outputs = (outputs / step).round() * step if step else outputs
    similar, costs = torch.eye(8).roll(3, 0) + torch.eye(8).roll(-3, 0) > 0, costs_of(name, bits)
    found = minimal_energies(outputs, similar, costs, weight)
    assert not found.diagonal().any()
    for i, j in product(range(8), range(8)):
        if i != j:
            expected = lowest_energy(outputs[i], outputs[j], similar[i, j], costs, weight)
            assert found[i, j].item() == pytest.approx(expected.item(), abs=1e-4)


def test_outputs_of_zero():
    """Every flip is free: a similar pair agrees already, a dissimilar one parts by just the margin."""
    zero, costs = torch.zeros(8), costs_of("hinge", 8)
    assert not cheapest_flips(zero, zero, torch.tensor(True), costs, 0.4)[0].any()
    flipped, minimum = cheapest_flips(zero, zero, torch.tensor(False), costs, 0.4)
    assert flipped.sum() == 4
    assert minimum.item() == pytest.approx(0, abs=1e-6)
