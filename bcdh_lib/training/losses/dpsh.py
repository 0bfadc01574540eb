"""Deep Pairwise-Supervised Hashing (Li, Wang, Kang, IJCAI 2016), trained on pairs from 3D models instead of labels."""

from pydantic import NonNegativeFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, negative_log_likelihood, of_both, sgn


class DPSH(PairwiseLoss):
    """log(1 + e^Theta) - s Theta + eta (||u - sgn u||^2 + ||v - sgn v||^2), with Theta = u.v / 2."""

    class Settings(LossSettings):
        quantization_weight: NonNegativeFloat  # eta

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        quantization = (outputs - sgn(outputs)).square().sum(1)
        likelihood = negative_log_likelihood(outputs @ outputs.T / 2, similar)
        return likelihood + self.settings.quantization_weight * of_both(quantization)


LOSS = DPSH
