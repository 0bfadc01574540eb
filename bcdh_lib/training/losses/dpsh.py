"""Deep Pairwise-Supervised Hashing (Li, Wang, Kang, IJCAI 2016), fed with pairs from 3D models in place of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends, likelihood, quantization_error, sgn


class DPSH(PairwiseLoss):
    """log(1 + e^Theta) - s Theta + eta (||u - sgn u||^2 + ||v - sgn v||^2), with Theta = u.v / 2."""

    class Settings(Section):
        quantization_weight: Annotated[float, Field(ge=0)]  # eta

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        quantization = quantization_error(u, v, sgn(u), sgn(v))
        return likelihood((u * v).sum(1) / 2, similar) + self.settings.quantization_weight * quantization
