"""The energy in its forms, as a loss: by hand, gradients, invariances, ablations, and the settings as committed."""

import pytest
import torch

from bcdh_lib.study import open_study
from bcdh_lib.training.losses import make_loss
from bcdh_lib.training.losses.binary_constrained import BinaryConstrained
from bcdh_lib.training.losses.code_step import code_step
from bcdh_lib.training.losses.pairwise import sgn
from bcdh_lib.training.losses.smooth_form import smooth_distance

FORMS = ("exact", "smooth", "expected", "shared", "straight_through")


def make(bits, weight, margin, **settings):
    return make_loss("binary_constrained", bits, {"quantization_weight": weight, "margin": margin, **settings})


def case(bits, seed=0):
    torch.manual_seed(seed)
    pairs, similar = torch.tensor([[0, 1], [2, 3], [4, 5]]), torch.tensor([True, False, True])
    return torch.randn(6, bits, dtype=torch.float64, requires_grad=True), pairs, similar


def test_what_is_left_out_of_the_settings_is_as_committed():
    committed = open_study().params.losses["binary_constrained"]
    assert BinaryConstrained.Settings(quantization_weight=0.44, margin=0.57).model_dump() == committed


def test_exact_by_hand():
    """As the code step by hand: one disagreement stays, and the quantization errors are 1.1, 1 and 1 from their codes."""
    outputs = torch.tensor([[0.1, 2.0, 1.0], [-1.0, -2.0, 1.0]])
    value = make(3, 0.5, 1.0)(outputs, torch.tensor([[0, 1]]), torch.tensor([True]))
    assert value.item() == pytest.approx(1 + 0.25 * (1.1**2 + 1 + 1))


def test_gradient_equals_finite_differences_and_the_envelope():
    outputs, pairs, similar = case(8)
    loss = make(8, 0.4, 0.5)
    assert torch.autograd.gradcheck(lambda x: loss(x, pairs, similar), outputs, eps=1e-7)
    loss(outputs, pairs, similar).sum().backward()
    u, v = outputs.detach()[pairs[:, 0]], outputs.detach()[pairs[:, 1]]
    a, b = code_step(u, v, similar, loss.distance_loss, 0.4)
    torch.testing.assert_close(outputs.grad, 0.4 * torch.stack([u - a, v - b], 1).flatten(0, 1))


@pytest.mark.parametrize("form", FORMS)
def test_invariant_to_permuting_bits_and_flipping_a_bit_of_both(form):
    torch.manual_seed(1)
    loss = make(16, 0.3, 0.6, form=form)
    outputs, pairs = torch.randn(10, 16, dtype=torch.float64), torch.arange(10).reshape(5, 2)
    similar = torch.arange(5) < 2
    value = loss(outputs, pairs, similar)
    if form in ("exact", "shared", "straight_through"):
        assert (value >= 0).all()
    torch.testing.assert_close(loss(outputs[:, torch.randperm(16)], pairs, similar), value)
    flip = torch.ones(16, dtype=torch.float64).index_fill_(0, torch.tensor([3, 7]), -1)
    torch.testing.assert_close(loss(outputs * flip, pairs, similar), value)


def test_continuous_where_the_minimising_code_changes():
    loss = make(4, 0.7, 1.0)
    path = torch.linspace(-2, 2, 4001, dtype=torch.float64)[:, None] * torch.tensor([1.0, -0.3, 0.2, 0.7], dtype=torch.float64)
    other = torch.tensor([[0.4, 0.9, -0.2, 0.1]], dtype=torch.float64)
    outputs = torch.cat([other, path])
    pairs = torch.stack([torch.zeros(4001, dtype=torch.long), torch.arange(1, 4002)], 1)
    for similar in (True, False):
        value = loss(outputs, pairs, torch.full((4001,), similar))
        assert value.diff().abs().max() < 0.01


def test_smooth_is_below_exact_and_nears_it_when_cold():
    outputs, pairs, similar = case(12)
    exact = make(12, 0.44, 0.57)(outputs, pairs, similar)
    gaps = [exact - make(12, 0.44, 0.57, form="smooth", inverse_temperature=t)(outputs, pairs, similar) for t in (1.0, 10.0, 1e4)]
    assert (gaps[0] > gaps[1]).all()
    assert (gaps[1] > gaps[2]).all()
    assert (gaps[2].abs() < 1e-2).all()


def test_codes_of_one_pair_alone_are_shared_by_nobody_else():
    """One similar pair: the exact step is a bound, and with l_1 = d each bit is its own, so that descent reaches it."""
    outputs, pairs, similar = case(8)
    chosen = (outputs, pairs[:1], similar[:1])
    torch.testing.assert_close(make(8, 0.4, 0.5, form="shared")(*chosen), make(8, 0.4, 0.5)(*chosen))


def test_shared_codes_are_no_better_for_a_pair_than_its_own():
    torch.manual_seed(4)
    outputs, pairs = torch.randn(8, 16), torch.combinations(torch.arange(8))
    similar = torch.rand(len(pairs)) < 0.3
    own, shared = (make(16, 0.3, 0.5, form=form)(outputs, pairs, similar) for form in ("exact", "shared"))
    assert (shared >= own - 1e-5).all()
    assert (shared > own + 1e-2).any()


def test_straight_through_by_hand():
    """Codes (+ -) and (+ +): d = 1, and the errors of the signs are .5 and .25; d = (L - a.b) / 2 gives u the slope -b / 2."""
    outputs = torch.tensor([[1.0, -1.5], [0.75, 1.0]], requires_grad=True)
    loss = make(2, 0.2, 1.0, form="straight_through", quantization_share=0.5)
    value = loss(outputs, torch.tensor([[0, 1]]), torch.tensor([True]))
    assert value.item() == pytest.approx(1 + 0.5 * 0.1 * (0.5**2 + 0.25**2))
    value.backward()
    assert outputs.grad[0].tolist() == pytest.approx([-0.5, -0.5 + 0.5 * 0.2 * -0.5])


@pytest.mark.parametrize("form", FORMS)
def test_without_quantization_term_what_is_left_is_the_distance(form):
    """Share 1 less share 0 is the quantization error: of the signs, or tau q at a temperature, where share 0 is -tau log E."""
    outputs, pairs, similar = case(8)
    whole, half, none = (
        make(8, 0.4, 0.5, form=form, quantization_share=share)(outputs, pairs, similar) for share in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(half, (whole + none) / 2)
    u, v = outputs[pairs[:, 0]], outputs[pairs[:, 1]]
    if form in ("exact", "shared", "straight_through"):
        error = ((u - sgn(u)).square() + (v - sgn(v)).square()).sum(1)
        torch.testing.assert_close(whole - none, 0.2 * error)
    if form == "smooth":
        loss = make(8, 0.4, 0.5)
        torch.testing.assert_close(none, smooth_distance(u, v, similar, loss.distance_loss, 0.4, 1.0))


def test_annealing_cools_from_the_first_round_to_the_last():
    loss = make(8, 0.4, 0.5, form="smooth", inverse_temperature=4.0, annealing=0.25)
    assert loss.temperature == pytest.approx(1 / 4)
    temperatures = []
    for share in (0.0, 0.5, 1.0):
        loss.advance(share)
        temperatures.append(loss.temperature)
    assert temperatures == pytest.approx([1, 1 / 2, 1 / 4])
    outputs, pairs, similar = case(8)
    loss.advance(0.0)
    warm = make(8, 0.4, 0.5, form="smooth", inverse_temperature=1.0)
    torch.testing.assert_close(loss(outputs, pairs, similar), warm(outputs, pairs, similar))


@pytest.mark.parametrize("form", FORMS)
def test_degenerate(form):
    loss = make(8, 0.4, 0.5, form=form)
    none = loss(torch.zeros(2, 8), torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.bool))
    assert none.shape == (0,)
    outputs, pairs = (torch.ones(2, 8) * 50).requires_grad_(), torch.tensor([[0, 1]])
    for label in (True, False):
        value = loss(outputs, pairs, torch.tensor([label]))
        (slope,) = torch.autograd.grad(value.sum(), outputs)
        assert value.isfinite().all()
        assert slope.isfinite().all()


@pytest.mark.parametrize("name", ["linear", "squared", "logistic", "chance"])
def test_other_distance_losses_bring_together_and_apart(name):
    torch.manual_seed(0)
    outputs = torch.nn.Parameter(torch.randn(4, 32) * 0.5)
    pairs, similar = torch.tensor([[0, 1], [0, 2], [1, 3]]), torch.tensor([True, False, False])
    loss = make(32, 0.44, 0.57, distance_loss=name, form="smooth")
    optimiser = torch.optim.Adam([outputs], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        loss(outputs, pairs, similar).sum().backward()
        optimiser.step()
    codes = sgn(outputs.detach())
    distance = (codes[pairs[:, 0]] != codes[pairs[:, 1]]).sum(1)
    assert distance[0] < distance[1:].min()
