"""HashNet (Cao et al., ICCV 2017): the sign by continuation, trained on pairs from 3D models instead of labels."""

from typing import Annotated

from pydantic import Field, PositiveFloat
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss, negative_log_likelihood


class HashNet(PairwiseLoss):
    """log(1 + e^Theta) - s Theta with Theta = (scale / L) g(u).g(v) and g(x) = tanh(beta x).

    beta grows from 1 to `final_beta` as in the authors' program: its square grows evenly. The class weights of the paper are
    those of training: similar and dissimilar pairs count half each for every method.
    """

    class Settings(LossSettings):
        scale: PositiveFloat  # alpha L
        final_beta: Annotated[float, Field(ge=1)]

    beta = 1.0

    def advance(self, share: float) -> None:
        self.beta = (1 + share * (self.settings.final_beta**2 - 1)) ** 0.5

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        soft = (self.beta * outputs).tanh()
        return negative_log_likelihood(self.settings.scale / self.bits * (soft @ soft.T), similar)


LOSS = HashNet
