"""The energy as a loss: by hand, gradients, invariances, weights of dissimilar pairs, extremes."""

import pytest
import torch

from bcdh_lib.training.losses import binary_constrained, make_loss

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
