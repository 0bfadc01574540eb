"""GreedyHash (Su et al., NeurIPS 2018): codes in the forward pass, the gradient handed straight through the sign."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.distance_losses import hinge
from bcdh_lib.training.losses.pairwise import PairwiseLoss, sign_distance


class GreedyHash(PairwiseLoss):
    """2 s d + 2 (1-s) [m - d]+ + alpha (|| |u|-1 ||_3^3 + || |v|-1 ||_3^3), with d the Hamming distance of sgn u and sgn v.

    The sign and the penalty are the paper's. Its task loss is a classifier's cross entropy, which needs labels;
    in its place stands, by our adaptation, DSH's loss of a pair on the codes, where ||sgn u - sgn v||^2 = 4 d.
    """

    class Settings(Section):
        margin: Annotated[float, Field(gt=0, le=1)]  # m, as a share of the code length; DSH's own is 0.5
        quantization_weight: Annotated[float, Field(ge=0)]  # alpha

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        distance = hinge(sign_distance(outputs, pairs), similar, self.settings.margin * self.bits, self.bits)
        penalty = (outputs.abs() - 1).abs().pow(3).sum(1)[pairs].sum(1)
        return 2 * distance + self.settings.quantization_weight * penalty
