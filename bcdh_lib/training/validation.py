"""Validation: mAP of held-apart photos, which decides what training keeps. No benchmark takes part."""

import numpy as np
from torch import Tensor

from bcdh_lib.core.codes import distances, pack
from bcdh_lib.core.metrics import average_precision, ties_of_distances

QUERIES = 256
"""Queries compared at a time with all photos."""
FEW = 8
"""Held-apart groups that are enough to be each other's distractors."""


def validation_map(group: np.ndarray, train: np.ndarray, outputs: Tensor, bits: int | None) -> float:
    """mAP of the held-apart photos, see `held_apart_precisions`."""
    return float(np.nanmean(held_apart_precisions(group, train, outputs, bits)))


def held_apart_precisions(group: np.ndarray, train: np.ndarray, outputs: Tensor, bits: int | None) -> np.ndarray:
    """Average precision (rectangle, expected over ties) of each held-apart photo as a query against the others, NaN without
    positives; same group = positive.

    group [n], train bool [n]; outputs [n, L], whose signs are compared, or unit vectors [n, d] if bits is None. Training pushes
    its own photos apart and not new ones, so they would be distractors of a kind that no database has: they take part
    only if fewer than FEW groups are held apart.
    """
    held = np.flatnonzero(~train)
    rows = held if len(np.unique(group[held])) >= FEW else np.concatenate([held, np.flatnonzero(train)])
    group, compared = group[rows], pack(outputs.numpy()[rows]) if bits else outputs.numpy()[rows]
    precisions = []
    for block in np.split(np.arange(len(held)), range(QUERIES, len(held), QUERIES)):
        itself = block[:, None] == np.arange(len(group))
        ties = ties_of_distances(distances(compared[block], compared), group[block][:, None] == group, itself)
        precisions.append(average_precision(ties, "rectangle"))
    return np.concatenate(precisions)
