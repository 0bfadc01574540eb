"""Photo files -> a network's outputs, by the study's own rules: a photo gives the same code here as in the study.

Processes read, decode and resize (`see`) while the network encodes the batch before. A JPEG decodes straight to a half, a quarter
or an eighth of its size where the study's photos stage does so too: to twice photos.max_side or more. To decode straight to
network.side would be sooner yet and is not offered: it gives other pixels, hence other codes than those of the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bcdh_lib.params import Photos
from bcdh_lib.photos.folder import Job, LeftOut, Photo, decode_file
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import BATCH, device, encode_kept
from bcdh_lib.training.views import plain_view

Outputs = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """A photo and what the network is shown of it, [1, 3, side, side]."""

    photo: Photo
    view: Pixels


@dataclass(frozen=True)
class Encoded:
    """A photo and the network's outputs of it."""

    photo: Photo
    outputs: Outputs


def see(job: Job, limits: Photos, side: int) -> Seen | LeftOut:
    """Read one file as the study does: the copy that its photos stage would keep, and of this the square of its network."""
    outcome = decode_file(job, limits)
    if isinstance(outcome, LeftOut):
        return outcome
    photo, picture = outcome
    return Seen(photo, plain_view(picture.as_kept(), side).numpy())


@dataclass(frozen=True)
class Encoder:
    """A network that is ready to encode, on a fixed number of CPU threads."""

    network: HashNetwork
    threads: int

    def __post_init__(self) -> None:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        self.network.to(device())

    def encode(self, outcomes: Iterable[Seen | LeftOut]) -> Iterator[list[Encoded | LeftOut]]:
        """What `see` made of files, in lists, photos with their outputs [L]; no more than a batch of them is held."""
        waiting: list[Seen] = []
        for outcome in outcomes:
            if isinstance(outcome, LeftOut):
                yield [outcome]
            else:
                waiting.append(outcome)
            if len(waiting) == BATCH:
                yield self._encoded(waiting)
                waiting = []
        if waiting:
            yield self._encoded(waiting)

    def _encoded(self, seen: list[Seen]) -> list[Encoded | LeftOut]:
        outputs = self.outputs(np.concatenate([one.view for one in seen]))
        return [Encoded(one.photo, row) for one, row in zip(seen, outputs, strict=True)]

    def outputs(self, views: Pixels) -> Outputs:
        """Outputs [n, L] of up to BATCH views [n, 3, side, side].

        They are computed in a full batch, as in the study: in another size of batch the last bit of a sum may differ.
        """
        shown = torch.from_numpy(views)
        batch = torch.cat([shown, shown[:1].expand(BATCH - len(shown), -1, -1, -1)])
        with torch.inference_mode():
            kept = batch if self.network.trains_whole else self.network.activations(batch)
        return encode_kept(self.network, kept[:, None]).numpy()[: len(views)]
