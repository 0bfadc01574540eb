"""Several processes that encode the photos of one index together, on one machine or many, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from bcdh_lib.training.distributed import process_count, process_rank

Given = TypeVar("Given")

PATIENCE = timedelta(days=30)
"""How long a process waits for the slowest: shares of millions of photos take days. That one died, torchrun notices."""


@contextmanager
def together() -> Iterator[None]:
    """The processes that torchrun started know each other in the block; without torchrun nothing is done."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def once(work: Callable[[], Given]) -> Given:
    """What `work` gives, done by the first process for all of them; what it raises there is raised in all."""
    if process_count() == 1:
        return work()
    box: list[Any] = [None, None]
    if process_rank() == 0:
        try:
            box[0] = work()
        except Exception as error:
            box[1] = error
    dist.broadcast_object_list(box)
    if box[1] is not None:
        raise box[1]
    return box[0]  # type: ignore[no-any-return]
