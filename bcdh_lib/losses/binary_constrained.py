"""Our loss: distance between binary codes and quantization error in one energy, minimised exactly over the codes.

    E(u, v; s) = min over a, b in {-1,+1}^L of  l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2)

l_1 is non-decreasing (default d), l_0 non-increasing (default max(0, m - d), margin m bits). Our reading of the abstract of
arXiv 1802.07437; docs/method.md derives the code step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from bcdh_lib.losses.pairwise import PairwiseLoss, ends, sgn
from bcdh_lib.params import Section

DistanceLoss = Callable[[Tensor, Tensor], Tensor]
"""l_s: distances in bits [p, t] and similar [p, 1] -> the loss of each distance, [p, t]; monotone in the distance."""


def hinge(distance: Tensor, similar: Tensor, margin: float) -> Tensor:
    """l_1 = d and l_0 = max(0, margin - d), in bits."""
    return distance.where(similar, (margin - distance).clamp(min=0))


def code_step(u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float) -> tuple[Tensor, Tensor]:
    """The codes a, b (each [p, L], -1 or +1) that minimise the energy of each pair, exactly, in O(L log L) a pair.

    u, v float [p, L]; similar bool [p]; weight is lambda. From a = sgn u, b = sgn v, changing whether bit k agrees costs
    2 lambda min(|u_k|, |v_k|): the side with the smaller magnitude flips. A similar pair gains only by agreeing more, a
    dissimilar one by agreeing less, and only the number of flips enters l_s: so the t cheapest flips are the best t flips,
    and the best t is read off the prefix sums of the sorted costs. Of equal minima the one with the fewest flips is taken.
    """
    a, b = sgn(u), sgn(v)
    agree = a == b
    flippable = agree ^ similar[:, None]
    cost = (2 * weight * torch.minimum(u.abs(), v.abs())).masked_fill(~flippable, torch.inf)
    cheapest, order = cost.sort(dim=1, stable=True)
    spent = torch.nn.functional.pad(cheapest.cumsum(1), (1, 0))
    flips = torch.arange(u.shape[1] + 1, device=u.device, dtype=u.dtype)
    disagreeing = (~agree).sum(1, keepdim=True).to(u.dtype)
    distance = (disagreeing + flips.where(~similar[:, None], -flips)).clamp(0, u.shape[1])
    best = (distance_loss(distance, similar[:, None]) + spent).argmin(1, keepdim=True)
    flipped = torch.zeros_like(agree).scatter_(1, order, flips[:-1].expand_as(u) < best)
    of_a = u.abs() <= v.abs()
    return a.where(~(flipped & of_a), -a), b.where(~(flipped & ~of_a), -b)


class BinaryConstrained(PairwiseLoss):
    """The energy E at its minimising codes. By the envelope theorem its gradient is lambda (u - a*), lambda (v - b*)."""

    class Settings(Section):
        quantization_weight: Annotated[float, Field(gt=0)]  # lambda
        margin: Annotated[float, Field(gt=0, le=1)]  # m, as a share of the code length

    def distance_loss(self, distance: Tensor, similar: Tensor) -> Tensor:
        return hinge(distance, similar, self.settings.margin * self.bits)

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        weight = self.settings.quantization_weight
        a, b = code_step(u.detach(), v.detach(), similar, self.distance_loss, weight)
        distance = (a != b).sum(1, keepdim=True).to(u.dtype)
        quantization = (u - a).square().sum(1) + (v - b).square().sum(1)
        return self.distance_loss(distance, similar[:, None]).squeeze(1) + weight / 2 * quantization
