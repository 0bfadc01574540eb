"""Photos -> cached activations of the frozen blocks -> outputs of a network, nothing learned."""

import itertools

import torch
from torch import Tensor

from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import Views

BATCH = 32
"""Photos encoded at a time."""


def cache_activations(network: HashNetwork, views: Views, workers: int, title: str) -> Tensor:
    """The frozen blocks' activations of views in memory, [n, 1 + augmented, ...]; pixels if no block is frozen."""
    batches = views.batches(max(1, BATCH // (1 + views.augmented)), workers, title)
    with torch.no_grad():
        made = (batch if network.trains_whole else network.activations(batch).cpu() for batch in batches)
        first = next(made)
        # Filled in place: a list of batches would hold all twice, and each batch of pixels a file of shared memory open.
        order = torch.channels_last if first.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        shape = (len(views) * (1 + views.augmented), *first.shape[1:])
        cached, done = torch.empty(shape, dtype=first.dtype, memory_format=order), 0
        for each in itertools.chain([first], made):
            cached[done : done + len(each)] = each
            done += len(each)
    return cached.unflatten(0, (len(views), 1 + views.augmented))


def pool(network: HashNetwork, activations: Tensor) -> Tensor:
    """Unit vectors before whitening, float [n, d], of single views that `cache_activations` gave, [n, ...]. bfloat16 on a GPU."""
    activations = activations.to(network.mean.device)
    with torch.autocast(activations.device.type, torch.bfloat16, enabled=activations.device.type == "cuda"):
        return network.pool(network.activations(activations) if network.trains_whole else activations.float()).float()


def pool_all(network: HashNetwork, activations: Tensor) -> Tensor:
    """Unit vectors before the whitening, float [n, d], of the plain views that `cache_activations` gave."""
    with torch.no_grad():
        return torch.cat([pool(network, block[:, 0]) for block in activations.split(BATCH)])


def encode(network: HashNetwork, activations: Tensor) -> Tensor:
    """Outputs float [n, L] of the plain views that `cache_activations` gave."""
    with torch.no_grad():
        return torch.cat([network.finish(pool(network, block[:, 0])).cpu() for block in activations.split(BATCH)])
