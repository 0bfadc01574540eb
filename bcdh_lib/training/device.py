"""The device and the processes that train a network, and what makes a machine give the same weights twice."""

import os

import torch
import torch.distributed as dist

from bcdh_lib.params import Params


def device() -> torch.device:
    """This process's CUDA device if there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def prepare(params: Params) -> None:
    """Fix torch's threads and algorithms, so that the same machine gives the same weights."""
    torch.set_num_threads(params.run.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


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
