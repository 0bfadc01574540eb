"""The codes that minimise the energy, exactly for a pair by itself, by descent for codes that all pairs of a photo share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bcdh_lib.training.losses.pairwise import sgn

DistanceLoss = Callable[[Tensor, Tensor], Tensor]
"""l_s: distances in bits and similar, shapes that broadcast -> the loss of each distance; monotone in the distance."""


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


def shared_code_step(outputs: Tensor, pairs: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float) -> Tensor:
    """One code a photo, [n, L] of -1 or +1, for all its pairs: their energies' sum gains by no flip of a single bit.

    outputs float [n, L]; pairs int64 [p, 2], each once; similar bool [p]. Similar and dissimilar pairs weigh as in training.
    Coordinate descent from the signs: the bit that gains most flips, until none gains, or as often as the batch has bits.
    """
    codes, bits = sgn(outputs), outputs.shape[1]
    share = torch.where(similar, 1 / similar.sum(), 1 / (~similar).sum()).to(outputs.dtype)
    first, second = pairs.T
    each_way = (torch.cat([first, second]), torch.cat([second, first]))
    weights = codes.new_zeros(len(codes), len(codes)).index_put(each_way, share.repeat(2))
    label = torch.zeros_like(weights, dtype=torch.bool).index_put(each_way, similar.repeat(2))
    error = 2 * weight * weights.sum(1, keepdim=True) * outputs  # times its code: what a flip costs
    for _ in range(codes.numel()):
        distance = (bits - codes @ codes.T) / 2
        now = distance_loss(distance, label)
        farther = weights * (distance_loss(distance + 1, label) - now)
        nearer = weights * (distance_loss(distance - 1, label) - now)
        # A flip parts the photos whose bit agrees, c_i c_j = 1, and joins those whose bit differs.
        change = error * codes + ((farther + nearer).sum(1, keepdim=True) + codes * ((farther - nearer) @ codes)) / 2
        best = change.argmin()
        if change.view(-1)[best] >= -1e-6:
            break
        codes.view(-1)[best] *= -1
    return codes
