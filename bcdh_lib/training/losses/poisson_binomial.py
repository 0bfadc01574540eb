"""The number of successes of independent trials with unequal chances: expectations over it, and their derivatives, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 2**22
"""Numbers kept at a time: rows are worked through in blocks that stay in a processor's cache."""


def expectation(chances: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """E[values[d]], [p], over the number d of successes, and its derivative in every chance, [p, L].

    chances float [p, L], one row the chances of L independent trials; values float [p, L + 1], one for each number of successes.
    With F_j the distribution after the first j trials and B_j[d] the expectation ahead of a count of d there,

        F_{j+1}[d] = (1 - p_j) F_j[d] + p_j F_j[d-1],    B_j[d] = (1 - p_j) B_{j+1}[d] + p_j B_{j+1}[d+1],

    the expectation is B_0[0], and its derivative in p_j is sum_d F_j[d] (B_{j+1}[d+1] - B_{j+1}[d]): O(L^2) a row.
    """
    rows = max(1, BLOCK // (chances.shape[1] + 3) ** 2)
    parts = [_of_block(c.T.contiguous(), v.T.contiguous()) for c, v in zip(chances.split(rows), values.split(rows), strict=True)]
    expected, derivative = zip(*parts, strict=True)
    return torch.cat(expected), torch.cat(derivative, dim=1).T.contiguous()


def _of_block(chances: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """As `expectation`, trials and counts first: chances [L, p] and values [L + 1, p] -> [p] and [L, p]."""
    trials, rows = chances.shape
    before = chances.new_empty(trials + 1, trials + 3, rows)  # before[j, 1 + d] is F_j[d], read for d from -1 to j + 1
    before[:, 0] = 0
    before[0, 1] = 1
    for j, chance in enumerate(chances):
        before[j, j + 2] = 0
        torch.lerp(before[j, 1 : j + 3], before[j, : j + 2], chance, out=before[j + 1, 1 : j + 3])
    gain = values.diff(dim=0)  # B[d+1] - B[d], which runs back as B does
    derivative = torch.empty_like(chances)
    for j in reversed(range(trials)):
        derivative[j] = (before[j, 1 : j + 2] * gain[: j + 1]).sum(0)
        gain = torch.lerp(gain[:j], gain[1 : j + 1], chances[j])
    return (before[trials, 1:-1] * values).sum(0), derivative
