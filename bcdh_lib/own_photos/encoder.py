"""Photo files -> a network's outputs, by the study's own rules: a photo gives the same code here as in the study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bcdh_lib.network import HashNetwork
from bcdh_lib.photos.folder import LeftOut, Photo
from bcdh_lib.training_set import BATCH, device, encode_kept
from bcdh_lib.views import Views

Outputs = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """A photo and the network's outputs of it."""

    photo: Photo
    outputs: Outputs


@dataclass(frozen=True)
class Encoder:
    """A network that is ready to encode, on a fixed number of CPU threads."""

    network: HashNetwork
    threads: int

    def __post_init__(self) -> None:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        self.network.to(device())

    def encode(self, outcomes: Iterable[Photo | LeftOut], copies: Path) -> Iterator[list[Encoded | LeftOut]]:
        """What `photos.folder.take` made of files, in lists, photos with their outputs [L]; their `copies` are removed.

        Of equal files the first is encoded: a later one's copy has the same name, and may be removed with the first's.
        """
        known: dict[str, Outputs] = {}
        waiting: list[Photo] = []
        for outcome in outcomes:
            if isinstance(outcome, LeftOut):
                yield [outcome]
            elif outcome.sha256 in known:
                (copies / outcome.sha256).unlink(missing_ok=True)
                yield [Encoded(outcome, known[outcome.sha256])]
            else:
                waiting.append(outcome)
            if len(waiting) == BATCH:
                yield self._encoded(waiting, copies, known)
                waiting = []
        if waiting:
            yield self._encoded(waiting, copies, known)

    def _encoded(self, photos: list[Photo], copies: Path, known: dict[str, Outputs]) -> list[Encoded | LeftOut]:
        outputs = self.outputs([copies / photo.sha256 for photo in photos])
        for photo, row in zip(photos, outputs, strict=True):
            known[photo.sha256] = row
            (copies / photo.sha256).unlink(missing_ok=True)
        return [Encoded(photo, known[photo.sha256]) for photo in photos]

    def outputs(self, images: list[Path]) -> Outputs:
        """Outputs [n, L] of up to BATCH decoded copies.

        They are computed in a full batch, as in the study: in another size of batch the last bit of a sum may differ.
        """
        views = Views(images, self.network.settings.side)
        batch = torch.cat([views[place] for place in range(len(images))])
        batch = torch.cat([batch, batch[:1].expand(BATCH - len(batch), -1, -1, -1)])
        with torch.inference_mode():
            kept = batch if self.network.trains_whole else self.network.activations(batch)
        return encode_kept(self.network, kept[:, None]).numpy()[: len(images)]
