"""Every registered loss on a tiny case, and the formulas of the compared ones by hand."""

from math import cosh, e, log, tanh

import pytest
import torch

from bcdh_lib.study import open_study
from bcdh_lib.training.losses import LOSSES, make_loss
from bcdh_lib.training.losses.pairwise import PairwiseLoss, hamming_distances, log_cosh, negative_log_likelihood, sgn

SETTINGS = open_study().params.losses
ALIKE, APART = torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
SIMILAR = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
DISSIMILAR = ~SIMILAR & ~torch.eye(4, dtype=torch.bool)
ERROR, D = 0.1 * (log(cosh(1)) + log(cosh(0.5))), 1 - 2**-0.5  # of DHN's and DCH's pairs below
FAR = log(1 + 4 / D) + 0.1 * log(1 + D / 4)


def make(method, bits, **settings):
    return make_loss(method, bits, {"learning_rate": 0.01} | settings)


def of_pair(loss, u, v):
    """The loss of a pair that is similar, and of one that is not."""
    outputs = torch.tensor([u, v])
    return [loss(outputs, label)[0, 1].item() for label in (ALIKE, APART)]


@pytest.mark.parametrize("method", LOSSES)
def test_every_loss_brings_similar_together_and_dissimilar_apart(method):
    outputs = torch.nn.Parameter(torch.randn(4, 32, generator=torch.Generator().manual_seed(0)) * 0.5)
    loss, optimiser = make_loss(method, 32, SETTINGS[method]), torch.optim.Adam([outputs], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        loss.of_batch(outputs, SIMILAR, DISSIMILAR).backward()
        optimiser.step()
    distance = hamming_distances(outputs.detach())
    assert distance[0, 1] < distance[DISSIMILAR].min()


@pytest.mark.parametrize("method", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 50.0])
def test_every_loss_is_symmetric_and_finite_for_huge_and_zero_outputs(method, scale):
    outputs = (torch.ones(4, 16) * scale).requires_grad_()
    value = make_loss(method, 16, SETTINGS[method])(outputs, SIMILAR)
    assert value.shape == (4, 4)
    assert torch.equal(value, value.T)
    value.sum().backward()
    assert value.isfinite().all()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("method", [method for method in LOSSES if method != "greedyhash"])
def test_the_gradient_equals_finite_differences(method):
    """Away from the corners; a gradient passed straight through a sign is the slope of no value."""
    outputs = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    settings = SETTINGS[method] | ({"form": "exact"} if "form" in SETTINGS[method] else {})
    loss = make_loss(method, 6, settings).double()
    assert torch.autograd.gradcheck(lambda x: loss(x, SIMILAR)[SIMILAR | DISSIMILAR], outputs, eps=1e-7)


class Given(PairwiseLoss):
    """The outputs as the losses."""

    def forward(self, outputs, similar):
        return outputs


def test_similar_and_dissimilar_pairs_count_half_each():
    """Similar pairs 1 and 3, one dissimilar pair 10, one that is neither: (2 + 10) / 2; of one kind alone, its mean."""
    values = torch.tensor([[0.0, 1, 3, 10], [1, 0, 99, 99], [3, 99, 0, 99], [10, 99, 99, 0]])
    similar, dissimilar = (torch.zeros(4, 4, dtype=torch.bool) for _ in range(2))
    similar[0, 1] = similar[1, 0] = similar[0, 2] = similar[2, 0] = dissimilar[0, 3] = dissimilar[3, 0] = True
    loss = Given(4, None)
    assert loss.of_batch(values, similar, dissimilar).item() == 6
    assert loss.of_batch(values, similar, ~similar & similar).item() == 2
    assert loss.of_batch(values, similar & ~similar, dissimilar).item() == 10


def test_likelihood_and_log_cosh_are_exact_and_do_not_overflow():
    value = negative_log_likelihood(torch.tensor([0.3, 0.3, 1000.0, 1000.0]), torch.tensor([True, False, True, False]))
    assert value.tolist() == pytest.approx([log(1 + e**-0.3), log(1 + e**0.3), 0, 1000])
    assert log_cosh(torch.tensor([0.0, -0.7, 1000.0])).tolist() == pytest.approx([0, log(cosh(0.7)), 1000 - log(2)])


def test_hamming_distances_pass_the_gradient_straight_through_the_signs():
    outputs = torch.tensor([[-0.3, 0.0, 40.0], [1.0, 1.0, -1.0]], requires_grad=True)
    distance = hamming_distances(outputs)
    assert distance.tolist() == [[0, 2], [2, 0]]
    distance[0, 1].backward()
    assert outputs.grad.tolist() == (-sgn(outputs.detach()).flip(0) / 2).tolist()


@pytest.mark.parametrize(
    ("method", "settings", "u", "v", "similar", "dissimilar"),
    [
        # Unit vectors at a right angle: D^2 = 2.
        ("contrastive", {"margin": 1.5}, [3.0, 0.0], [0.0, 0.5], 1.0, (1.5 - 2**0.5) ** 2 / 2),
        # m = 4: ||u-v||^2 = .25, || |v|-1 ||_1 = .5.
        ("dsh", {"quantization_weight": 0.1}, [1.0, -1.0], [0.5, -1.0], 0.125 + 0.05, 1.875 + 0.05),
        # Theta = (.5 - 2) / 2 = -.75; ||u - sgn u||^2 = 1, ||v - sgn v||^2 = .25.
        ("dpsh", {"quantization_weight": 0.1}, [1.0, -2.0], [0.5, 1.0], log(1 + e**0.75) + 0.125, log(1 + e**-0.75) + 0.125),
        # The same, with log cosh of |u|-1 = (0, 1) and |v|-1 = (-.5, 0).
        ("dhn", {"quantization_weight": 0.1}, [1.0, -2.0], [0.5, 1.0], log(1 + e**0.75) + ERROR, log(1 + e**-0.75) + ERROR),
        # cos = 1 / sqrt 2, so d = 1 - 1 / sqrt 2 = d(|u|, 1), and d(|v|, 1) = 0.
        ("dch", {"gamma": 4.0, "quantization_weight": 0.1}, [3.0, 0.0], [1.0, 1.0], log(D / 4) + FAR, FAR),
    ],
)
def test_of_two_bits_by_hand(method, settings, u, v, similar, dissimilar):
    assert of_pair(make(method, 2, **settings), u, v) == pytest.approx([similar, dissimilar], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize(("share", "beta"), [(None, 1), (0, 1), (0.5, 5**0.5), (1, 3)])
def test_hashnet_by_hand_and_its_continuation(share, beta):
    """L = 2, scale 10, u = (1, -.5), v = (.5, 2): Theta = 5 (tanh 1 tanh .5 - tanh .5 tanh 2); beta 1, sqrt 5, 3."""
    loss = make("hashnet", 2, scale=10.0, final_beta=3.0)
    if share is not None:
        loss.advance(share)
    theta = 5 * (tanh(beta) * tanh(beta / 2) - tanh(beta / 2) * tanh(2 * beta))
    found = of_pair(loss, [1.0, -0.5], [0.5, 2.0])
    assert found == pytest.approx([log(1 + e**-theta), log(1 + e**theta)], rel=1e-5)


def test_dch_of_outputs_that_coincide_is_finite():
    found = of_pair(make("dch", 16, gamma=20.0, quantization_weight=0.1), [1.0] * 16, [1.0] * 16)
    assert found == pytest.approx([1e-3 / 20, log(1 + 20e3)], rel=0.01)


def test_greedyhash_by_hand():
    """L = 4, m = 2, codes (+ - + +) and (+ + + +): d = 1; penalties |.5|^3 + 1^3 and 0. The code's gradient reaches u and v."""
    loss = make("greedyhash", 4, margin=0.5, quantization_weight=0.1)
    outputs = torch.tensor([[1.5, -1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]], requires_grad=True)
    assert loss(outputs, APART)[0, 1].item() == pytest.approx(2 + 0.1125)
    value = loss(outputs, ALIKE)[0, 1]
    assert value.item() == pytest.approx(2 + 0.1125)
    value.backward()
    assert outputs.grad[1].tolist() == [-1, 1, -1, -1]  # d = (L - a.b) / 2, so its gradient in v is -a / 2, doubled
