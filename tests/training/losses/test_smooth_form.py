"""The energy at a temperature: by hand, against brute force over all code pairs, against finite differences, and at extremes."""

from math import cosh, exp, log, tanh

import pytest
import torch

from bcdh_lib.training.losses.code_step import code_step
from bcdh_lib.training.losses.distance_losses import DISTANCE_LOSSES
from bcdh_lib.training.losses.smooth_form import expected_distance, smooth_distance, soft_quantization

from .energies import energy, every_energy

FORMS = {"smooth": smooth_distance, "expected": expected_distance}


def costs(name, margin, bits=16):
    return lambda d, s: DISTANCE_LOSSES[name](d, s, margin, bits)


def draw(count, bits, scale=1.5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    u, v = torch.randn(2, count, bits, generator=generator, dtype=torch.float64).to(dtype) * scale
    return u, v, torch.arange(count) % 2 == 0


def smooth_energy(u, v, similar, cost, weight, temperature):
    return smooth_distance(u, v, similar, cost, weight, temperature) + soft_quantization(u, v, weight, temperature)


def test_one_bit_by_hand():
    """L = 1, k = 1, tau = .5: the bit disagrees with p = (1 - tanh u tanh v) / 2; a similar pair is charged 1 / tau for it."""
    u, v, label = torch.tensor([[0.3]]), torch.tensor([[-1.2]]), torch.tensor([True])
    p = (1 - tanh(0.3) * tanh(-1.2)) / 2
    case = (u, v, label, costs("linear", 1.0), 0.5, 0.5)
    assert smooth_distance(*case).item() == pytest.approx(-0.5 * log(1 - p + p * exp(-2)))
    assert expected_distance(*case).item() == pytest.approx(p)
    q = [(x**2 + 1) / 2 - log(2 * cosh(x)) for x in (0.3, 1.2)]
    assert soft_quantization(u, v, 0.5, 0.5).item() == pytest.approx(0.5 * sum(q))


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("temperature", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_smooth_equals_brute_force(name, temperature, bits):
    """-tau log of the sum over all 4^L pairs of codes; its gradient lambda (u - E[a]) with E[a] over the same."""
    u, v, similar = draw(12, bits, seed=bits)
    cost, weight = costs(name, 0.6 * bits, bits), 0.7
    u, v = u.requires_grad_(), v.requires_grad_()
    slow = -temperature * torch.logsumexp(-every_energy(u, v, similar, cost, weight) / temperature, dim=1)
    fast = smooth_energy(u, v, similar, cost, weight, temperature)
    torch.testing.assert_close(fast, slow)
    for one, other in zip(torch.autograd.grad(fast.sum(), (u, v)), torch.autograd.grad(slow.sum(), (u, v)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_expected_equals_brute_force(name, temperature):
    """Codes are drawn with chances as exp(-quantization error / tau), and the loss of their distance is averaged."""
    u, v, similar = draw(12, 4, scale=0.7)
    cost = costs(name, 2.5, 4)
    chance = torch.softmax(-every_energy(u, v, similar, lambda d, s: 0 * d, 0.6) / temperature, dim=1)
    slow = (chance * every_energy(u, v, similar, cost, 0.0)).sum(1)
    torch.testing.assert_close(expected_distance(u, v, similar, cost, 0.6, temperature), slow)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", DISTANCE_LOSSES)
def test_gradient_equals_finite_differences(form, name):
    u, v, similar = draw(4, 7)
    for temperature in (0.3, 2.0):
        case = (similar, costs(name, 4.0, 7), 0.5, temperature)
        assert torch.autograd.gradcheck(
            lambda u, v, case=case: FORMS[form](u, v, *case), (u.requires_grad_(), v.requires_grad_())
        )


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cold_it_is_the_exact_step(name, dtype):
    """tau -> 0: E_tau lies below E by at most tau log 4^L, and the gradient is lambda (u - a*) but at ties."""
    u, v, similar = draw(60, 32, dtype=dtype)
    cost, weight, temperature = costs(name, 14.6, 32), 0.44, 1e-3
    a, b = code_step(u, v, similar, cost, weight)
    exact = energy(u, v, a, b, similar, cost, weight)
    u.requires_grad_()
    value = smooth_energy(u, v, similar, cost, weight, temperature)
    assert (value <= exact + 1e-4).all()
    assert (value >= exact - 1e-4 - temperature * 64 * log(2)).all()
    (slope,) = torch.autograd.grad(value.sum(), u)
    near = (slope - weight * (u - a)).abs() < 1e-3
    assert near.float().mean() > 0.99


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 50.0])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_float32_is_stable_at_256_bits(name, form, scale, temperature):
    """Against float64; outputs uniform up to 50, where most chances lie below the least float32."""
    generator = torch.Generator().manual_seed(1)
    u, v = (torch.rand(2, 16, 256, generator=generator) * 2 - 1) * scale
    found = []
    for dtype in (torch.float32, torch.float64):
        x, y = u.to(dtype, copy=True).requires_grad_(), v.to(dtype, copy=True).requires_grad_()
        value = FORMS[form](x, y, torch.arange(16) % 2 == 0, costs(name, 120.0, 256), 0.44, temperature)
        found.append((value.detach().double(), *(part.double() for part in torch.autograd.grad(value.sum(), (x, y)))))
    for one, other in zip(*found, strict=True):
        assert other.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees(form):
    u, v, similar = draw(100, 64, dtype=torch.float32)
    found = []
    for device in ("cpu", "cuda"):
        x, y = (part.to(device, copy=True).requires_grad_() for part in (u, v))
        value = FORMS[form](x, y, similar.to(device), costs("hinge", 30.0), 0.44, 1.0)
        found.append([part.cpu() for part in (value.detach(), *torch.autograd.grad(value.sum(), (x, y)))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_equal_and_opposite_outputs_are_finite(form, scale):
    u = torch.full((4, 16), scale).requires_grad_()
    v = torch.full((4, 16), scale) * torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    value = FORMS[form](u, v, torch.tensor([True, False, True, False]), costs("squared", 8.0), 0.44, 0.1)
    (slope,) = torch.autograd.grad(value.sum(), u)
    assert value.isfinite().all()
    assert slope.isfinite().all()
    if scale:
        assert value.tolist() == pytest.approx([0, 8, 32, 0], abs=1e-3)  # l_1(0), l_0(0), l_1(16), l_0(16)


@pytest.mark.parametrize("form", FORMS)
def test_outputs_that_are_no_numbers_make_the_loss_none(form):
    """Training names it; it must not end in an index out of range."""
    u = torch.tensor([[float("nan"), 1.0], [float("inf"), 1.0]])
    assert FORMS[form](u, u, torch.tensor([True, False]), costs("hinge", 1.0), 0.44, 1.0)[0].isnan()
    none = FORMS[form](u[:0], u[:0], torch.zeros(0, dtype=torch.bool), costs("hinge", 1.0), 0.44, 1.0)
    assert none.shape == (0,)
