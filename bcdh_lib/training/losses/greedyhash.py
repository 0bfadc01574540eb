"""GreedyHash (Su et al., NeurIPS 2018): codes in the forward pass; the gradient passes straight through the sign."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, hamming_distances, of_both


class GreedyHash(PairwiseLoss):
    """2 s d + 2 (1-s) [m - d]+ + alpha (|| |u|-1 ||_3^3 + || |v|-1 ||_3^3), with d the Hamming distance of sgn u and sgn v.

    The sign and the penalty are the paper's. Its task loss is the cross entropy of a classifier, which needs labels; our
    adaptation uses DSH's loss of a pair on the codes instead, where ||sgn u - sgn v||^2 = 4 d.
    """

    class Settings(LossSettings):
        margin: Annotated[float, Field(gt=0, le=1)]  # m, as a share of the code length; DSH's own is 0.5
        quantization_weight: NonNegativeFloat  # alpha

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        distance = hamming_distances(outputs)
        penalty = (outputs.abs() - 1).abs().pow(3).sum(1)
        pair = 2 * distance.where(similar, (self.settings.margin * self.bits - distance).clamp(min=0))
        return pair + self.settings.quantization_weight * of_both(penalty)


LOSS = GreedyHash
