"""Every registered loss on a tiny case, and the formulas of the compared ones by hand."""

from math import cosh, e, log, tanh

import pytest
import torch

from bcdh_lib.params import TrainingRun
from bcdh_lib.study import open_study
from bcdh_lib.training.losses import LOSSES, make_loss
from bcdh_lib.training.losses.hashnet import HashNet
from bcdh_lib.training.losses.pairwise import likelihood, log_cosh, sgn, straight_through
from bcdh_lib.training.train import train_run

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


PAIR, BOTH = torch.tensor([[0, 1], [0, 1]]), torch.tensor([True, False])


def test_likelihood_and_log_cosh_are_exact_and_do_not_overflow():
    theta = torch.tensor([0.3, 0.3, 1000.0, 1000.0])
    value = likelihood(theta, torch.tensor([True, False, True, False]))
    assert value.tolist() == pytest.approx([log(1 + e**-0.3), log(1 + e**0.3), 0, 1000])
    assert log_cosh(torch.tensor([0.0, -0.7, 1000.0])).tolist() == pytest.approx([0, log(cosh(0.7)), 1000 - log(2)])


def test_straight_through_signs_and_lets_the_gradient_pass():
    outputs = torch.tensor([-0.3, 0.0, 40.0], requires_grad=True)
    codes = straight_through(outputs)
    assert codes.tolist() == [-1, 1, 1]
    (codes * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert outputs.grad.tolist() == [1, 2, 3]


def test_dpsh_by_hand():
    """u = (1, -2), v = (.5, 1): Theta = (.5 - 2) / 2 = -.75; ||u - sgn u||^2 = 1, ||v - sgn v||^2 = .25."""
    loss = make_loss("dpsh", 2, {"quantization_weight": 0.1})
    value = loss(torch.tensor([[1.0, -2.0], [0.5, 1.0]]), PAIR, BOTH)
    assert value.tolist() == pytest.approx([log(1 + e**0.75) + 0.125, log(1 + e**-0.75) + 0.125])


def test_dhn_by_hand():
    """As DPSH, with log cosh of |u|-1 = (0, 1) and |v|-1 = (-.5, 0)."""
    loss = make_loss("dhn", 2, {"quantization_weight": 0.1})
    value = loss(torch.tensor([[1.0, -2.0], [0.5, 1.0]]), PAIR, BOTH)
    error = 0.1 * (log(cosh(1)) + log(cosh(0.5)))
    assert value.tolist() == pytest.approx([log(1 + e**0.75) + error, log(1 + e**-0.75) + error])


def test_hashnet_by_hand_and_its_continuation():
    """L = 2, scale 10, u = (1, -.5), v = (.5, 2): Theta = 5 (tanh 1 tanh .5 - tanh .5 tanh 2); beta 1, sqrt 5, 3."""
    loss = make_loss("hashnet", 2, {"scale": 10.0, "final_beta": 3.0})
    outputs = torch.tensor([[1.0, -0.5], [0.5, 2.0]])
    for share, beta in ((None, 1), (0, 1), (0.5, 5**0.5), (1, 3)):
        if share is not None:
            loss.advance(share)
        theta = 5 * (tanh(beta) * tanh(beta / 2) - tanh(beta / 2) * tanh(2 * beta))
        expected = [log(1 + e**-theta), log(1 + e**theta)]
        assert loss(outputs, PAIR, BOTH).tolist() == pytest.approx(expected, rel=1e-5)


def test_training_tells_the_loss_how_far_it_is_and_a_resumed_one_the_same(training_set, params, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(HashNet, "advance", lambda self, share: told.append(share))
    run = TrainingRun(method="hashnet", bits=16)
    for rounds in (1, 3):
        training = params.training.model_copy(update={"rounds": rounds})
        train_run(training_set, params.model_copy(update={"training": training}), run, tmp_path)
    assert told == [0, 0.5, 1]


def test_dch_by_hand():
    """L = 2: u = (3, 0) and v = (1, 1) have cos = 1/sqrt 2, so d = 1 - 1/sqrt 2 = d(|u|, 1), and d(|v|, 1) = 0."""
    loss = make_loss("dch", 2, {"gamma": 4.0, "quantization_weight": 0.1})
    d = 1 - 2**-0.5
    value = loss(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), PAIR, BOTH)
    error = 0.1 * log(1 + d / 4)
    assert value.tolist() == pytest.approx([log(d / 4) + log(1 + 4 / d) + error, log(1 + 4 / d) + error], rel=1e-5)


def test_dch_of_outputs_that_coincide_is_finite():
    outputs = torch.ones(2, 16, requires_grad=True)
    value = make_loss("dch", 16, {"gamma": 20.0, "quantization_weight": 0.1})(outputs, PAIR, BOTH)
    assert value.tolist() == pytest.approx([1e-3 / 20, log(1 + 20e3)], rel=0.01)


def test_greedyhash_by_hand():
    """L = 4, m = 2, codes (+ - + +) and (+ + + +): d = 1; penalties |.5|^3 + 1^3 and 0. The code's gradient reaches u and v."""
    loss = make_loss("greedyhash", 4, {"margin": 0.5, "quantization_weight": 0.1})
    outputs = torch.tensor([[1.5, -1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]], requires_grad=True)
    value = loss(outputs, PAIR, BOTH)
    assert value.tolist() == pytest.approx([2 + 0.1125, 2 + 0.1125])
    value[0].backward()
    assert outputs.grad[1].tolist() == [-1, 1, -1, -1]  # d = (L - a.b) / 2, so its gradient in v is -a / 2, doubled


@pytest.mark.parametrize("method", [method for method in LOSSES if method != "greedyhash"])
def test_the_gradient_equals_finite_differences(method):
    """Away from the corners; a gradient handed straight through a sign has no value that it is the slope of."""
    torch.manual_seed(3)
    outputs = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    pairs, similar = torch.tensor([[0, 1], [2, 3], [0, 2]]), torch.tensor([True, False, False])
    loss = make_loss(method, 6, SETTINGS[method])
    assert torch.autograd.gradcheck(lambda x: loss(x, pairs, similar), outputs, eps=1e-7)
