"""Validation: mAP of held-apart photos, which decides what training keeps. No benchmark takes part."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bcdh_lib.core.codes import distances, pack
from bcdh_lib.core.metrics import average_precision, ties_of_distances

QUERIES = 256
"""Queries compared at a time with all photos."""


def distances_from(outputs: np.ndarray, rows: np.ndarray, bits: int | None) -> np.ndarray:
    """Distances [rows, n] of some photos to all, of their codes or, if bits is None, of their unit vectors."""
    compared = pack(outputs) if bits else outputs
    return distances(compared[rows], compared)


def validation_map(group: np.ndarray, train: np.ndarray, outputs: Tensor, bits: int | None) -> float:
    """mAP (rectangle, expected over ties) of the held-apart photos as queries against all photos; same group = positive.

    group [n], train bool [n]; outputs [n, L], whose signs are compared, or unit vectors [n, d] if bits is None.
    """
    queries = np.flatnonzero(~train)
    blocks = np.split(queries, range(QUERIES, len(queries), QUERIES))
    precisions = [_precisions(group, outputs.numpy(), bits, block) for block in blocks]
    return float(np.nanmean(np.concatenate(precisions)))


def _precisions(group: np.ndarray, outputs: np.ndarray, bits: int | None, queries: np.ndarray) -> np.ndarray:
    """Average precision of each query (rows), NaN for one without positives."""
    itself = queries[:, None] == np.arange(len(group))
    ties = ties_of_distances(distances_from(outputs, queries, bits), group[queries][:, None] == group, itself)
    return average_precision(ties, "rectangle")
