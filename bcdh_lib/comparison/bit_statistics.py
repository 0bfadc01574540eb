"""Why codes retrieve as they do: how the bits behave on the photos that the hash layer learned from."""

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances, pack

FROZEN = 0.01
"""A bit is frozen if fewer than this share of the photos differ in it from the others."""
PHOTOS = 1000
"""Photos that pairs are counted among, evenly spread over all."""


def bit_statistics(outputs: NDArray[np.float32], group: NDArray[np.int64]) -> dict[str, float]:
    """Statistics of outputs [n, L] and their signs; photos of one group [n] are similar, of two dissimilar.

    frozen_bits: share of the bits that are frozen; imbalance: mean |mean of a bit| (0: half of the photos each); correlation:
    mean |correlation| of two bits that are not frozen; quantization: mean (|u| - 1)^2; similar_distance, dissimilar_distance:
    mean Hamming distance as a share of L; inside_margin: share of dissimilar pairs nearer than L / 2. NaN without such pairs or
    bits.
    """
    signs = np.where(outputs >= 0, 1.0, -1.0)
    mean = signs.mean(0)
    moving = (1 - np.abs(mean)) / 2 >= FROZEN
    chosen = np.unique(np.linspace(0, len(outputs) - 1, PHOTOS).astype(int))
    codes, group = pack(outputs[chosen]), group[chosen]
    first, second = np.triu_indices(len(chosen), 1)
    between = (distances(codes, codes) / outputs.shape[1])[first, second]
    same = group[first] == group[second]
    correlation = np.abs(np.atleast_2d(np.corrcoef(signs[:, moving], rowvar=False)) if moving.any() else np.zeros((0, 0)))
    return {
        "frozen_bits": float(1 - moving.mean()),
        "imbalance": float(np.abs(mean).mean()),
        "correlation": _mean(correlation[np.triu_indices(len(correlation), 1)]),
        "quantization": float(np.square(np.abs(outputs) - 1).mean()),
        "similar_distance": _mean(between[same]),
        "dissimilar_distance": _mean(between[~same]),
        "inside_margin": _mean(between[~same] < 0.5),
    }


def _mean(values: NDArray[np.floating] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")
