"""Deep Cauchy Hashing (Cao, Long, Liu, Wang, CVPR 2018), trained on pairs from 3D models instead of labels."""

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, of_both


class DCH(PairwiseLoss):
    """s log(d / gamma) + log(1 + gamma / d) + lambda (log(1 + d(|u|, 1) / gamma) + log(1 + d(|v|, 1) / gamma)).

    d(u, v) = (L/2)(1 - cos(u, v)), a distance in bits (equations 6 to 9). The class weights w of equation 2 are those of
    training: similar and dissimilar pairs count half each for every method.
    """

    class Settings(LossSettings):
        gamma: PositiveFloat  # bits
        quantization_weight: NonNegativeFloat  # lambda

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        unit, gamma = F.normalize(outputs, dim=1), self.settings.gamma
        # A dissimilar pair that coincides would cost infinitely much; a thousandth of a bit bounds it.
        distance = (self.bits / 2 * (1 - unit @ unit.T)).clamp(min=1e-3)
        # log(d / gamma) + log(1 + gamma / d) is log(1 + d / gamma).
        cauchy = torch.log1p((distance / gamma).where(similar, gamma / distance))
        from_ones = self.bits / 2 * (1 - unit.abs().sum(1) / self.bits**0.5)  # d(|u|, 1)
        quantization = torch.log1p(from_ones.clamp(min=0) / gamma)
        return cauchy + self.settings.quantization_weight * of_both(quantization)


LOSS = DCH
