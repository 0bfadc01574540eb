"""Deep Cauchy Hashing (Cao, Long, Liu, Wang, CVPR 2018), fed with pairs from 3D models in place of labels."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends


class DCH(PairwiseLoss):
    """s log(d / gamma) + log(1 + gamma / d) + lambda (log(1 + d(|u|, 1) / gamma) + log(1 + d(|v|, 1) / gamma)).

    d(u, v) = (L/2)(1 - cos(u, v)), a distance in bits (equations 6 to 9). The class weights w of equation 2 are training's own:
    there similar and dissimilar pairs weigh alike for every method.
    """

    class Settings(Section):
        gamma: Annotated[float, Field(gt=0)]
        quantization_weight: Annotated[float, Field(ge=0)]  # lambda

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        unit = F.normalize(outputs, dim=1)
        u, v = ends(unit, pairs)
        gamma = self.settings.gamma
        # A dissimilar pair that coincides would cost infinitely much; a thousandth of a bit bounds it.
        distance = (self.bits / 2 * (1 - (u * v).sum(1))).clamp(min=1e-3)
        # log(d / gamma) + log(1 + gamma / d) is log(1 + d / gamma).
        cauchy = torch.log1p((distance / gamma).where(similar, gamma / distance))
        from_ones = self.bits / 2 * (1 - unit.abs().sum(1) / self.bits**0.5)  # d(|u|, 1)
        quantization = torch.log1p(from_ones.clamp(min=0) / gamma)[pairs].sum(1)
        return cauchy + self.settings.quantization_weight * quantization
