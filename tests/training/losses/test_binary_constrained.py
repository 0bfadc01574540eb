"""The energy as a loss, and its code step: by hand, brute force, gradients, invariances, weights, ties and extremes."""

from itertools import product

import pytest
import torch

from bcdh_lib.training.losses import binary_constrained, make_loss
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


def test_code_step_by_hand():
    """Similar pair, one weak disagreeing bit (u = .1) and one strong (2, -2): flipping the weak costs 2 * .5 * .1 and saves 1."""
    u, v = torch.tensor([0.1, 2.0, 1.0]), torch.tensor([-1.0, -2.0, 1.0])
    flipped, minimum = cheapest_flips(u, v, torch.tensor(True), costs_of("linear", 3), 0.5)
    assert flipped.tolist() == [True, False, False]
    assert minimum.item() == pytest.approx(1 + 0.1)


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("weight", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("bits", [1, 3, 5])
@pytest.mark.parametrize("step", [None, 0.5])
def test_code_step_equals_brute_force(name, weight, bits, step):
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


def test_code_step_of_zeros():
    """Every flip is free: a similar pair agrees already, a dissimilar one parts by just the margin."""
    zero, costs = torch.zeros(8), costs_of("hinge", 8)
    assert not cheapest_flips(zero, zero, torch.tensor(True), costs, 0.4)[0].any()
    flipped, minimum = cheapest_flips(zero, zero, torch.tensor(False), costs, 0.4)
    assert flipped.sum() == 4
    assert minimum.item() == pytest.approx(0, abs=1e-6)


FORMS = ("exact", "straight_through")
SIMILAR = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)


def make(bits, weight=0.4, *, form="exact", sharpness=None):
    settings = {"quantization_weight": weight, "form": form, "sharpness": sharpness, "learning_rate": 0.01}
    return make_loss("binary_constrained", bits, settings)


def draw(n, bits, seed=0):
    return torch.randn(n, bits, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True)


def test_exact_by_hand():
    """As the code step by hand: one disagreement stays, and the quantization errors are 1.1, 1 and 1 from their codes."""
    outputs = torch.tensor([[0.1, 2.0, 1.0], [-1.0, -2.0, 1.0]])
    value = make(3, 0.5)(outputs, torch.ones(2, 2, dtype=torch.bool))
    assert value[0, 1].item() == pytest.approx(1 + 0.25 * (1.1**2 + 1 + 1))


def test_straight_through_by_hand():
    """Codes (+ -) and (+ +): d = 1, and the errors of the signs are .5 and .25; d = (L - a.b) / 2 gives u the slope -b / 2."""
    outputs = torch.tensor([[1.0, -1.5], [0.75, 1.0]], requires_grad=True)
    value = make(2, 0.2, form="straight_through")(outputs, torch.ones(2, 2, dtype=torch.bool))[0, 1]
    assert value.item() == pytest.approx(1 + 0.1 * (0.5**2 + 0.25**2))
    value.backward()
    assert outputs.grad[0].tolist() == pytest.approx([-0.5, -0.5 + 0.2 * -0.5])


@pytest.mark.parametrize("form", FORMS)
def test_invariant_to_permuting_bits_and_flipping_a_bit_of_all(form):
    loss, outputs = make(16, form=form).double(), draw(3, 16).detach()
    value = loss(outputs, SIMILAR)
    assert (value >= 0).all()
    torch.testing.assert_close(value, value.T)
    torch.testing.assert_close(loss(outputs[:, torch.randperm(16)], SIMILAR), value)
    flip = torch.ones(16, dtype=torch.float64).index_fill_(0, torch.tensor([3, 7]), -1)
    torch.testing.assert_close(loss(outputs * flip, SIMILAR), value)


def test_weights_are_the_slopes_of_the_listwise_loss():
    """By automatic differentiation of the formula, at distances that are not whole."""
    distance = torch.rand(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 8
    place = torch.tensor([0, 0, 1, 1, 2, 3])
    similar, dissimilar = (place[:, None] == place) & ~torch.eye(6, dtype=torch.bool), place[:, None] != place
    distance = (distance + distance.T).requires_grad_()
    scores = (-distance / 2).exp()  # L = 16 and sharpness 1: tau is 2 bits
    listwise = -(scores / (scores + (scores * dissimilar).sum(1, keepdim=True))).log()
    (slope,) = torch.autograd.grad(listwise[similar].mean(), distance)
    loss = make(16, sharpness=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_constrained, "hamming_distances", lambda outputs: distance.detach())
        weights = loss.weights(torch.zeros(6, 16), similar, dissimilar)
    torch.testing.assert_close(weights.where(similar, -weights), slope * 2)
    assert not weights[~similar & ~dissimilar].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_equal_and_opposite_outputs_are_finite(form, scale):
    outputs = (torch.tensor([[1.0], [1.0], [-1.0]]) * torch.full((3, 128), scale)).requires_grad_()
    loss = make(128, form=form, sharpness=0.5)
    value = loss.of_batch(outputs, SIMILAR, ~SIMILAR)
    value.backward()
    assert value.isfinite()
    assert outputs.grad.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees():
    found = []
    for device in ("cpu", "cuda"):
        outputs = draw(3, 64).detach().float().to(device).requires_grad_()
        value = make(64).to(device)(outputs, SIMILAR.to(device))
        value.sum().backward()
        found.append((value.detach().cpu(), outputs.grad.cpu()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
