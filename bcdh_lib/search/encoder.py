"""Photo files -> a network's real outputs, by the study's own rules: a photo has the same code here as in the study.

Processes read, decode and resize photos (`read_view`) while the network encodes the batch before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bcdh_lib.params import Photos
from bcdh_lib.photos.photo_file import Job, LeftOut, Photo, decode_file
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import plain_view

BATCH = 32
"""Photos encoded at once."""


@dataclass(frozen=True)
class Seen:
    """A photo with the pixels that the network sees of it, uint8 [1, 3, side, side], or with its outputs of them, [L]."""

    photo: Photo
    values: NDArray


def read_view(job: Job, limits: Photos, side: int) -> Seen | LeftOut:
    """Read one file as the study does: the copy that its photos stage would keep, resized to the network's square."""
    outcome = decode_file(job, limits)
    if isinstance(outcome, LeftOut):
        return outcome
    photo, picture = outcome
    return Seen(photo, plain_view(picture.as_copied(), side).numpy())


def encode(network: HashNetwork, views: Iterable[Seen | LeftOut]) -> Iterator[list[Seen | LeftOut]]:
    """The photos with their outputs, in lists of a batch; what was left out is passed on."""
    waiting: list[Seen] = []
    for view in views:
        if isinstance(view, LeftOut):
            yield [view]
            continue
        waiting.append(view)
        if len(waiting) == BATCH:
            yield _encoded(network, waiting)
            waiting = []
    if waiting:
        yield _encoded(network, waiting)


def _encoded(network: HashNetwork, views: list[Seen]) -> list[Seen | LeftOut]:
    rows = outputs_of(network, np.concatenate([view.values for view in views]))
    return [Seen(view.photo, row) for view, row in zip(views, rows, strict=True)]


def outputs_of(network: HashNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Outputs [n, L] of up to BATCH views [n, 3, side, side].

    The batch is always full: with another number of photos in it the last bit of a sum may differ.
    """
    shown = torch.from_numpy(pixels)
    batch = torch.cat([shown, shown[:1].expand(BATCH - len(shown), -1, -1, -1)])
    with torch.inference_mode():
        return network(batch).cpu().numpy()[: len(pixels)]
