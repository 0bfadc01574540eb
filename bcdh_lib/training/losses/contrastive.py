"""The contrastive loss on unit vectors: real-valued, blind to the sign that follows it."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends


class Contrastive(PairwiseLoss):
    """s/2 D^2 + (1-s)/2 [margin - D]+^2 with D the distance of the two unit vectors (Radenovic et al., ECCV 2016)."""

    class Settings(Section):
        margin: Annotated[float, Field(gt=0, le=2)]  # tau, a distance between unit vectors

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(F.normalize(outputs, dim=1), pairs)
        # The 1e-6 keeps the root's gradient finite where two vectors coincide.
        distance = ((u - v).square().sum(1) + 1e-6).sqrt()
        apart = (self.settings.margin - distance).clamp(min=0)
        return 0.5 * distance.square().where(similar, apart.square())
