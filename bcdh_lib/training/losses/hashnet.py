"""HashNet (Cao et al., ICCV 2017): the sign by continuation, fed with pairs from 3D models in place of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends, likelihood


class HashNet(PairwiseLoss):
    """log(1 + e^Theta) - s Theta with Theta = (scale / L) g(u).g(v) and g(x) = tanh(beta x).

    beta grows over training from 1 to `final_beta` as the authors' program lets it: its square grows evenly. The class weights
    of the paper are training's own: there similar and dissimilar pairs weigh alike for every method.
    """

    class Settings(Section):
        scale: Annotated[float, Field(gt=0)]  # alpha L
        final_beta: Annotated[float, Field(ge=1)]

    beta = 1.0

    def advance(self, share: float) -> None:
        self.beta = (1 + share * (self.settings.final_beta**2 - 1)) ** 0.5

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends((self.beta * outputs).tanh(), pairs)
        return likelihood(self.settings.scale / self.bits * (u * v).sum(1), similar)
