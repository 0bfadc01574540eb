"""The contrastive loss on unit vectors (Radenovic et al., ECCV 2016): real-valued, it does not see the sign that follows."""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bcdh_lib.training.losses.pairwise import LossSettings, PairwiseLoss


class Contrastive(PairwiseLoss):
    """s/2 D^2 + (1-s)/2 [margin - D]+^2 with D the distance of the two unit vectors."""

    class Settings(LossSettings):
        margin: Annotated[float, Field(gt=0, le=2)]  # a distance between unit vectors

    def forward(self, outputs: Tensor, similar: Tensor) -> Tensor:
        unit = F.normalize(outputs, dim=1)
        # The 1e-6 keeps the gradient of the root finite if two vectors coincide.
        distance = ((2 - 2 * unit @ unit.T).clamp(min=0) + 1e-6).sqrt()
        return 0.5 * distance.where(similar, (self.settings.margin - distance).clamp(min=0)).square()


LOSS = Contrastive
