"""What a distance between two binary codes costs: l_1 for similar pairs, non-decreasing; l_0 for dissimilar ones, non-increasing.

Each takes distances in bits and similar, shapes that broadcast, the margin m in bits and the code length L. All are convex. The
slopes are about 1 for pairs that are farthest from what their label asks for, so that one weight of the quantization error means
the same for each; those of `chance` are 2 for dissimilar pairs, and vary with L for similar ones: 1.6 at 16 bits, 0.6 at 128.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(distance: Tensor, similar: Tensor, margin: float, bits: int) -> Tensor:
    """l_1 = d and l_0 = L - d: no distance is enough."""
    return distance.where(similar, bits - distance)


def hinge(distance: Tensor, similar: Tensor, margin: float, bits: int) -> Tensor:
    """l_1 = d and l_0 = max(0, m - d)."""
    return distance.where(similar, (margin - distance).clamp(min=0))


RARE = 3.0
"""Standard deviations below the mean distance of independent codes at which `chance` lets a similar pair be: one such code in 741
is nearer."""
HAZARD = NormalDist().pdf(RARE) / NormalDist().cdf(-RARE)
"""Slope of log Phi there."""


def chance(distance: Tensor, similar: Tensor, margin: float, bits: int) -> Tensor:
    """l_0 = -log P(d), with P(d) the chance that codes of L fair and independent bits lie within d bits of each other, and
    l_1 = log(1 + N P(d)) with N = 741 such codes, its log P(d) taken by the tangent at N P(d) = 1.

    A similar pair is charged the logarithm of the rank that it would have among N codes of other places: hardly anything once it
    is nearer than the nearest of them. As a share of L that is much nearer with few bits than with many. A dissimilar pair is
    charged for how seldom independent codes are as near. P(d) is the binomial's normal approximation, Phi(z) with
    z = (2 d + 1 - L) / sqrt(L); the tangent lies above log P and makes l_1 convex. There is no margin.
    """
    z = (2 * distance + 1 - bits) / sqrt(bits)
    return F.softplus(HAZARD * (z + RARE)).where(similar, -torch.special.log_ndtr(z))


DISTANCE_LOSSES: dict[str, Callable[[Tensor, Tensor, float, int], Tensor]] = {
    "linear": linear,
    "hinge": hinge,
    "chance": chance,
}
