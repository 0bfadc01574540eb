"""BCDH: distance between binary codes and quantization error in one energy, minimised exactly over the codes.

    E(u, v; s) = min over a, b in {-1,+1}^L of  l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2)

l_1 = d, l_0 = L - d. Our reading of the abstract of arXiv 1802.07437; docs/method.md derives the code step.
"""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from bcdh_lib.training.losses.code_step import minimal_energies
from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, hamming_distances, of_both, sgn


class BinaryConstrained(PairwiseLoss):
    """The energy E of every pair (form: exact), or of the codes sgn u, sgn v with the gradient passed straight through the sign.

    With `sharpness`, a pair counts as much as it matters for the ranking of its query by the codes as they are: its weight is the
    slope of -log(e^-d / (e^-d + sum over dissimilar photos of e^-d')), d and d' Hamming distances in units of tau. The gradient
    is that of this listwise loss. tau is `sharpness` standard deviations of the distance of two random codes, sqrt(L) / 2 bits.
    """

    class Settings(LossSettings):
        quantization_weight: PositiveFloat  # lambda
        form: Literal["exact", "straight_through"]
        sharpness: PositiveFloat | None  # tau in standard deviations; null: equal weights

    costs: Tensor

    def __init__(self, bits: int, settings: Settings) -> None:
        super().__init__(bits, settings)
        distance = torch.arange(bits + 1.0)
        costs = [self.distance_loss(distance, torch.tensor(similar)) for similar in (False, True)]
        self.register_buffer("costs", torch.stack(costs), persistent=False)  # l_0 and l_1 of every distance

    def distance_loss(self, distance: Tensor, similar: Tensor) -> Tensor:
        """l_s of distances in bits."""
        return distance.where(similar, self.bits - distance)

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        weight = self.settings.quantization_weight
        error = weight / 2 * of_both((outputs - sgn(outputs)).square().sum(1))
        if self.settings.form == "exact":
            return minimal_energies(outputs, similar, self.costs, weight) + error
        return self.distance_loss(hamming_distances(outputs), similar) + error

    def weights(self, outputs: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
        if self.settings.sharpness is None or not bool(similar.any() and dissimilar.any()):
            return super().weights(outputs, similar, dissimilar)
        nearness = -hamming_distances(outputs) / (self.settings.sharpness * self.bits**0.5 / 2)
        rivals = nearness.masked_fill(~dissimilar, -torch.inf).logsumexp(1, keepdim=True)  # -inf for a photo without one
        missed = (rivals - nearness).sigmoid() * similar  # the chance that a random rival is drawn before this similar photo
        confused = nearness.masked_fill(~dissimilar, -torch.inf).softmax(1).nan_to_num() * missed.sum(1, keepdim=True)
        return (missed + confused) / similar.sum()


LOSS = BinaryConstrained
