"""What every loss on pairs offers, and the sign that training, coding and tests share."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bcdh_lib.core.settings import Section


def sgn(outputs: Tensor) -> Tensor:
    """-1 or +1 for each output; sgn(0) is +1, so that a code never has a third value."""
    return (outputs >= 0).to(outputs.dtype) * 2 - 1


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor) -> Tensor:
        return sgn(outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


def straight_through(outputs: Tensor) -> Tensor:
    """sgn of the outputs, whose gradient passes as if the sign were not there."""
    return _StraightThrough.apply(outputs)


def sign_distance(outputs: Tensor, pairs: Tensor) -> Tensor:
    """Hamming distance of the signs of every pair, [p], in bits; its gradient passes straight through the signs."""
    a, b = ends(straight_through(outputs), pairs)
    return (outputs.shape[1] - (a * b).sum(1)) / 2


def quantization_error(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """||u - a||^2 + ||v - b||^2 of outputs u, v and codes a, b, [p]."""
    return (u - a).square().sum(1) + (v - b).square().sum(1)


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x without overflow."""
    return x.abs() + F.softplus(-2 * x.abs()) - math.log(2)


def likelihood(theta: Tensor, similar: Tensor) -> Tensor:
    """log(1 + e^theta) - s theta, [p]: minus the log likelihood of the label when a pair is similar with odds e^theta."""
    return F.softplus(theta.where(~similar, -theta))


class PairwiseLoss(nn.Module):
    """A loss on pairs of real network outputs u, v in R^L with a label: similar or not.

    A subclass names its settings in `Settings` and computes `forward(outputs, pairs, similar)`:
    outputs float [n, L], one row an image of the batch; pairs int64 [p, 2], rows of outputs; similar bool [p].
    It returns the loss of each pair, float [p]; training averages them alike for every method.
    """

    class Settings(Section):
        """No settings."""

    def __init__(self, bits: int, settings: Any) -> None:
        super().__init__()
        self.bits = bits
        self.settings = settings

    def advance(self, share: float) -> None:
        """Take up the share of training that is done: 0 in the first round, 1 in the last. For losses that change on the way."""

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        raise NotImplementedError


def ends(outputs: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs u, v (each [p, L]) at the two ends of every pair."""
    return outputs[pairs[:, 0]], outputs[pairs[:, 1]]
