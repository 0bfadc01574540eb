"""What every loss on the pairs of a batch offers, and the sign that training, coding and tests share."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from bcdh_lib.core.errors import StudyError
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


def hamming_distances(outputs: Tensor) -> Tensor:
    """Hamming distances [n, n], in bits, of the signs of outputs [n, L]; the gradient passes straight through the signs."""
    codes = _StraightThrough.apply(outputs)
    return (outputs.shape[1] - codes @ codes.T) / 2


def of_both(values: Tensor) -> Tensor:
    """The sum of the two photos' values [n] for every pair, [n, n]."""
    return values[:, None] + values[None, :]


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x without overflow."""
    return x.abs() + F.softplus(-2 * x.abs()) - math.log(2)


def negative_log_likelihood(theta: Tensor, similar: Tensor) -> Tensor:
    """log(1 + e^theta) - s theta: of the label of a pair that is similar with odds e^theta."""
    return F.softplus(theta.where(~similar, -theta))


class LossSettings(Section):
    """What the settings of every loss hold."""

    learning_rate: PositiveFloat  # of Adam, as a share of the standard deviation of the hash layer's weights


class PairwiseLoss(nn.Module):
    """A loss on all pairs of a batch's outputs u in R^L, each pair with a label: similar or not.

    A subclass names its settings in `Settings` and computes `forward(outputs, similar)`: outputs float [n, L], one row a photo
    of the batch; similar bool [n, n]. It returns the loss of every pair as a symmetric matrix, float [n, n].
    """

    class Settings(LossSettings):
        """The learning rate alone."""

    def __init__(self, bits: int, settings: Any) -> None:
        super().__init__()
        self.bits = bits
        self.settings = settings

    def advance(self, share: float) -> None:
        """Set the share of training that is done, from 0 to 1; for losses that change during training."""

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        raise NotImplementedError

    def weights(self, outputs: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
        """What every pair counts, float [n, n]; similar and dissimilar pairs half each, unless a loss has its own weights."""
        kinds = [kind / kind.sum() for kind in (similar, dissimilar) if bool(kind.any())]
        return torch.stack(kinds).mean(0)

    def of_batch(self, outputs: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
        """The batch's loss, a weighted sum over its pairs. similar, dissimilar: symmetric bool [n, n]; a pair may be neither."""
        return (self(outputs, similar) * self.weights(outputs.detach(), similar, dissimilar)).sum()


def descend(value: Tensor, optimiser: torch.optim.Optimizer, setting: str) -> float:
    """One step of the optimiser on a batch's loss; its value. Raises StudyError, which names the setting, if it is not finite."""
    if not torch.isfinite(value):
        raise StudyError(f"the loss became {value.item()}: lower {setting}")
    optimiser.zero_grad()
    value.backward()
    optimiser.step()
    return value.item()
