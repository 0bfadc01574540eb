"""Deep Supervised Hashing (Liu, Wang, Shan, Chen, CVPR 2016), trained on pairs from 3D models instead of labels."""

from pydantic import NonNegativeFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, of_both


class DSH(PairwiseLoss):
    """s/2 ||u-v||^2 + (1-s)/2 [m - ||u-v||^2]+ + alpha (|| |u|-1 ||_1 + || |v|-1 ||_1), with m = 2L (equations 2 and 4)."""

    class Settings(LossSettings):
        quantization_weight: NonNegativeFloat  # alpha

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        distance = of_both(outputs.square().sum(1)) - 2 * outputs @ outputs.T
        quantization = (outputs.abs() - 1).abs().sum(1)
        pair = 0.5 * distance.where(similar, (2 * self.bits - distance).clamp(min=0))
        return pair + self.settings.quantization_weight * of_both(quantization)


LOSS = DSH
