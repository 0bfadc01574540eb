"""Deep Supervised Hashing (Liu et al., CVPR 2016), fed with pairs from 3D models in place of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends


class DSH(PairwiseLoss):
    """s/2 ||u-v||^2 + (1-s)/2 [m - ||u-v||^2]+ + alpha (|| |u|-1 ||_1 + || |v|-1 ||_1), with m = 2L (equations 2 and 4)."""

    class Settings(Section):
        quantization_weight: Annotated[float, Field(ge=0)]  # alpha

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        distance = (u - v).square().sum(1)
        apart = (2 * self.bits - distance).clamp(min=0)
        quantization = (u.abs() - 1).abs().sum(1) + (v.abs() - 1).abs().sum(1)
        return 0.5 * distance.where(similar, apart) + self.settings.quantization_weight * quantization
