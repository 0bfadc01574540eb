"""The code step: the codes of a pair that minimise its energy, exactly, for all pairs of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bcdh_lib.training.losses.pairwise import sgn

BLOCK = 2**20
"""Numbers worked on at a time."""
TINY = 1e-30
"""Stands for a magnitude of 0, which has no sign."""


def cheapest_flips(u: Tensor, v: Tensor, similar: Tensor, costs: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Which bits of a pair flip from agreeing to not, or back, to minimise its energy, bool [..., L], and that minimum, [...].

    The minimum is over all codes a, b of l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2), without the part
    lambda/2 (||u - sgn u||^2 + ||v - sgn v||^2) that no code changes. u, v float [..., L], shapes that broadcast; similar bool
    [...]; costs float [2, L + 1] are l_0 and l_1 of every distance, convex; weight is lambda.

    From a = sgn u, b = sgn v, changing whether bit k agrees costs 2 lambda min(|u_k|, |v_k|): the side of the smaller magnitude
    flips. A similar pair gains only by agreeing more, a dissimilar one by agreeing less, and l_s depends on the number of flips
    alone: so the best t flips are the t cheapest. l_s is convex, so the t-th flip gains less than the one before and costs
    more: the last one that gains more than it costs is found by bisection. O(L log L) a pair. Of equal minima the one of the
    fewest flips is taken.
    """
    bits, label, toward = u.shape[-1], similar.long(), 1 - 2 * similar.long()  # a flip takes a similar pair's distance down
    # Positive for the bits that may flip, negative for the others: masks cost several times as much as the sort.
    signed = torch.minimum(u.abs().clamp(min=TINY), v.abs().clamp(min=TINY)).mul_(sgn(u)).mul_(sgn(v))
    signed *= 2 * weight * toward[..., None].to(u.dtype)
    flippable = signed > 0
    ordered, most = _sorted(signed), flippable.sum(-1)
    fixed, distance = bits - most, torch.where(similar, most, bits - most)
    few, many = torch.zeros_like(most), most
    for _ in range(bits.bit_length()):
        middle = (few + many + 1) // 2
        before = (distance + toward * (middle - 1)).clamp(0, bits)
        gain = costs[label, before] - costs[label, distance + toward * middle]
        pays = (_at(ordered, fixed + middle - 1) < gain) & (middle > 0)
        few, many = middle.where(pays, few), many.where(pays, torch.maximum(middle - 1, few))
    last = _at(ordered, fixed + few - 1).where(few > 0, 0)
    flipped = flippable.logical_and_(signed <= last[..., None])
    tied = flipped.sum(-1) > few  # several bits cost as much as the last one
    if bool(tied.any()):
        flipped[tied] = _first(signed[tied], fixed[tied], few[tied])
    spent = _at(ordered.clamp_(min=0).cumsum(-1), fixed + few - 1).where(few > 0, 0)
    return flipped, costs[label, distance + toward * few] + spent


def _sorted(values: Tensor) -> Tensor:
    """Each row in increasing order; numpy's sort of short rows is 20 times as fast as torch's on a processor."""
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)) if values.device.type == "cpu" else values.sort(-1).values


def _at(values: Tensor, place: Tensor) -> Tensor:
    """The value at a place of each row, [...]; of the first one if the place is before it."""
    return values.gather(-1, place.clamp(min=0)[..., None]).squeeze(-1)


def _first(signed: Tensor, fixed: Tensor, count: Tensor) -> Tensor:
    """The `count` cheapest of the bits after the `fixed` ones of each row [p, L], of equal costs the first ones, bool."""
    place = torch.arange(signed.shape[-1], device=signed.device)
    chosen = (place >= fixed[:, None]) & (place < (fixed + count)[:, None])
    return torch.zeros_like(chosen).scatter_(-1, signed.sort(dim=-1, stable=True).indices, chosen)


class MinimalEnergies(torch.autograd.Function):
    """The minima of `cheapest_flips` for all pairs of a batch, [n, n], from outputs [n, L] and similar bool [n, n].

    By the envelope theorem a photo's gradient from a pair is lambda (u - a*), here without lambda (u - sgn u): each bit that
    flips on the photo's side gives 2 lambda sgn u.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, similar: Tensor, costs: Tensor, weight: float) -> Tensor:
        magnitude, minima, flips = outputs.abs(), [], []
        rows = max(1, BLOCK // outputs.numel())
        for u, of_u, label in zip(outputs.split(rows), magnitude.split(rows), similar.split(rows), strict=True):
            flipped, minimum = cheapest_flips(u[:, None], outputs[None], label, costs, weight)
            minima.append(minimum)
            flips.append(flipped.logical_and_(of_u[:, None] <= magnitude[None]))
        ctx.save_for_backward(outputs, torch.cat(flips))
        ctx.weight = weight
        return torch.cat(minima)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        outputs, flips = ctx.saved_tensors
        each_way = gradient + gradient.T
        count = torch.stack([counts @ flip.to(outputs.dtype) for counts, flip in zip(each_way, flips, strict=True)])
        return 2 * ctx.weight * sgn(outputs) * count, None, None, None
