"""Several processes that train one network: which of them this is, and all their rows."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


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


def all_rows(rows: Tensor) -> Tensor:
    """The rows [n, d] of every process in the order of their ranks, [count * n, d]; differentiable.

    Every process computes the same loss of all rows, so the gradients that come back from all of them add up to `count` times
    that of one process: DistributedDataParallel's mean over the processes makes it right.
    """
    return torch.cat(all_gather(rows.contiguous())) if process_count() > 1 else rows
