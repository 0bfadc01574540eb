"""Several processes that train one network: which of them this is, and all their rows."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """How many processes train together; 1 outside torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait_for_all() -> None:
    """Return once every process has called this."""
    if dist.is_initialized():
        dist.barrier()


class _AllRows(torch.autograd.Function):
    """All processes' rows, with gradients that DistributedDataParallel's mean turns into those of one process.

    Every process computes the same loss of all rows, so the gradient of its own rows is already whole. DDP averages parameter
    gradients over processes where their sum is wanted: hence the factor.
    """

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        everyone = [torch.empty_like(rows) for _ in range(process_count())]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return gradient.chunk(process_count())[process_rank()] * process_count()


def all_rows(rows: Tensor) -> Tensor:
    """The rows [n, d] of every process in the order of their ranks, [count * n, d]; differentiable."""
    return _AllRows.apply(rows) if process_count() > 1 else rows
