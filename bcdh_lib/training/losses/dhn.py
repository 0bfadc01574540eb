"""Deep Hashing Network (Zhu et al., AAAI 2016), trained on pairs from 3D models instead of labels."""

from pydantic import NonNegativeFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, log_cosh, negative_log_likelihood, of_both


class DHN(PairwiseLoss):
    """log(1 + e^Theta) - s Theta + alpha sum of log cosh(|u|-1) + log cosh(|v|-1), with Theta = u.v / 2 as in DPSH."""

    class Settings(LossSettings):
        quantization_weight: NonNegativeFloat  # alpha

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        quantization = log_cosh(outputs.abs() - 1).sum(1)
        likelihood = negative_log_likelihood(outputs @ outputs.T / 2, similar)
        return likelihood + self.settings.quantization_weight * of_both(quantization)


LOSS = DHN
