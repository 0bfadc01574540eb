"""The code step: by hand, against brute force over all code pairs, and at the edges; shared codes against every code."""

from itertools import product

import pytest
import torch

from bcdh_lib.training.losses.code_step import code_step, shared_code_step
from bcdh_lib.training.losses.distance_losses import DISTANCE_LOSSES, hinge

from .energies import all_codes, energy, every_energy

COSTS = {name: lambda d, s, cost=cost: cost(d, s, 2.5, 5) for name, cost in DISTANCE_LOSSES.items()}
COSTS["steps"] = lambda d, s: (d > 1).to(d.dtype).where(s, (d < 3).to(d.dtype))  # monotone, not convex


def test_by_hand():
    """Similar pair, one weak disagreeing bit (u = .1) and one strong (2, -2): flipping the weak costs 2 * .5 * .1 and saves 1."""
    u, v = torch.tensor([[0.1, 2.0, 1.0]]), torch.tensor([[-1.0, -2.0, 1.0]])
    a, b = code_step(u, v, torch.tensor([True]), COSTS["hinge"], 0.5)
    assert a.tolist() == [[-1, 1, 1]]
    assert b.tolist() == [[-1, -1, 1]]


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("weight", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_equals_brute_force(name, weight, bits):
    torch.manual_seed(bits)
    u, v = torch.randn(2, 40, bits, dtype=torch.float64) * 1.5
    similar = torch.arange(40) % 2 == 0
    a, b = code_step(u, v, similar, COSTS[name], weight)
    found = energy(u, v, a, b, similar, COSTS[name], weight)
    torch.testing.assert_close(found, every_energy(u, v, similar, COSTS[name], weight).amin(1))


def test_degenerate():
    def cost(distance, similar):
        return hinge(distance, similar, 4.0, 8)

    a, b = code_step(torch.zeros(1, 8), torch.zeros(1, 8), torch.tensor([True]), cost, 0.4)
    assert (a == 1).all()
    assert (b == 1).all()
    a, b = code_step(torch.zeros(1, 8), torch.zeros(1, 8), torch.tensor([False]), cost, 0.4)
    assert (a != b).sum() == 4


def shared_energy(codes, outputs, pairs, similar, cost, weight):
    ends = (outputs[pairs[:, 0]], outputs[pairs[:, 1]], codes[pairs[:, 0]], codes[pairs[:, 1]])
    values = energy(*ends, similar, cost, weight)
    return values[similar].mean() + values[~similar].mean()


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
def test_no_flip_of_one_bit_betters_shared_codes(name):
    torch.manual_seed(2)
    outputs, pairs = torch.randn(6, 5, dtype=torch.float64), torch.combinations(torch.arange(6))[:-2]
    similar = torch.arange(len(pairs)) % 3 == 0
    case = (outputs, pairs, similar, COSTS[name], 0.3)
    codes = shared_code_step(*case)
    found = shared_energy(codes, *case)
    for photo, bit in product(range(6), range(5)):
        flipped = codes.clone()
        flipped[photo, bit] *= -1
        assert shared_energy(flipped, *case) >= found - 1e-6
    assert found < shared_energy(outputs.sign(), *case) - 1e-3  # the signs could be bettered


def test_shared_codes_are_near_the_best_of_all_codes():
    """Three photos of three bits, all 512 codes: descent ends at the best in most draws, and never below it."""
    torch.manual_seed(0)
    pairs, similar = torch.tensor([[0, 1], [0, 2], [1, 2]]), torch.tensor([True, False, False])
    best = 0
    for _ in range(20):
        case = (torch.randn(3, 3, dtype=torch.float64), pairs, similar, COSTS["hinge"], 0.3)
        every = [shared_energy(codes.reshape(3, 3), *case) for codes in all_codes(9)]
        found = shared_energy(shared_code_step(*case), *case)
        assert found >= min(every) - 1e-9
        best += bool(found <= min(every) + 1e-9)
    assert best > 10


def test_shared_codes_of_a_photo_in_no_pair_are_its_signs():
    outputs = torch.tensor([[1.0, -2.0], [0.5, 1.0], [-0.1, 0.0]])
    none = shared_code_step(outputs, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.bool), COSTS["hinge"], 0.3)
    assert none.tolist() == [[1, -1], [1, 1], [-1, 1]]
    one = shared_code_step(outputs, torch.tensor([[0, 1]]), torch.tensor([True]), COSTS["hinge"], 0.3)
    assert one[2].tolist() == [-1, 1]
