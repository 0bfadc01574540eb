"""Several scales: a photo enters the network at several sizes, and what the network gives is averaged before the sign.

Gordo et al. (IJCV 2017) and Radenović et al. (PAMI 2018) average the unit vectors of a photo at several scales; of a network
that hashes, the real outputs are averaged likewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Options
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import encode_kept, keep
from bcdh_lib.training.views import Views

STRIDE = 32
"""px; the backbones halve a side five times, VGG16 four."""
AT_SCALES = "at_scales"
"""The folder, within a benchmark's codes, of those of several scales, where retrieval.scales asks for them."""


def sides_of(side: int, scales: Sequence[float]) -> list[int]:
    """The side (px) at each scale of photos for a network of this side.

    Scale 1 is the side as it is; any other is side x scale rounded to the nearest multiple of STRIDE, up from the middle, and at
    least one. Raises StudyError where two scales come to one side, which would count twice.
    """
    sides: dict[int, float] = {}
    for scale in scales:
        scaled = side if scale == 1 else max(STRIDE, STRIDE * int(side * scale / STRIDE + 0.5))
        if scaled in sides:
            raise StudyError(f"retrieval.scales: {sides[scaled]:g} and {scale:g} both come to {scaled} px; leave one out")
        sides[scaled] = scale
    return list(sides)


def sides_by_folder(side: int, scales: Sequence[float]) -> dict[str, list[int]]:
    """The sides (px) that photos are encoded at: "" has the network's own, AT_SCALES those of the scales, where these are on."""
    return {"": [side]} | ({folder: sides_of(side, scales)} if (folder := folder_of(scales)) else {})


def folder_of(scales: Sequence[float]) -> str:
    """The folder of the codes at these scales: AT_SCALES, or "" where the option is off."""
    return AT_SCALES if list(scales) != Options().scales else ""


def encode_at(
    sides: Mapping[str, Sequence[int]], networks: Mapping[str, HashNetwork], views: Views, workers: int, title: str
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Outputs [n, L] of each network, by name, averaged over the sides of each folder.

    A photo is decoded once a side, and goes once through the frozen blocks, which all the networks share.
    """
    front = next(iter(networks.values()))
    at: dict[int, dict[str, NDArray[np.float32]]] = {}
    for side in sorted({side for each in sides.values() for side in each}):
        said = title if side == views.side else f"{title} at {side} px"
        kept = keep(front, replace(views, side=side), workers, said)
        at[side] = {name: encode_kept(network, kept).numpy() for name, network in networks.items()}
        del kept  # before the next side's, which may be larger
    return {
        folder: {name: mean_over_scales([at[side][name] for side in each], network.bits) for name, network in networks.items()}
        for folder, each in sides.items()
    }


def mean_over_scales(outputs: Sequence[NDArray[np.float32]], bits: int | None) -> NDArray[np.float32]:
    """The mean [n, L] of outputs [n, L] at each scale; of unit vectors (bits None) their mean, scaled to unit length again.

    Outputs at one scale stay as they are, to the last digit.
    """
    if len(outputs) == 1:
        return outputs[0]
    mean = np.stack(outputs).mean(0, dtype=np.float64).astype(np.float32)
    return mean if bits else unit(mean)


def unit(vectors: NDArray) -> NDArray[np.float32]:
    """Vectors [..., d] scaled to unit length; one of no length stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
