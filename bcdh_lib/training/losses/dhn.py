"""Deep Hashing Network (Zhu et al., AAAI 2016), fed with pairs from 3D models in place of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends, likelihood, log_cosh


class DHN(PairwiseLoss):
    """log(1 + e^Theta) - s Theta + alpha sum of log cosh(|u|-1) + log cosh(|v|-1), with Theta = u.v / 2 as DPSH has it."""

    class Settings(Section):
        quantization_weight: Annotated[float, Field(ge=0)]  # alpha

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        quantization = log_cosh(u.abs() - 1).sum(1) + log_cosh(v.abs() - 1).sum(1)
        return likelihood((u * v).sum(1) / 2, similar) + self.settings.quantization_weight * quantization
