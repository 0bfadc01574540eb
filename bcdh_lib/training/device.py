"""The device that networks run on, and what makes a machine give the same weights twice."""

import os

import torch

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
