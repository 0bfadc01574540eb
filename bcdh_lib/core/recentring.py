"""Recentring: the bits' thresholds moved to the mean of the outputs over the photos that are searched; no label is needed.

A code is the sign of outputs that are centred on the training photos. Photos of another kind may lie to one side of most
thresholds: then most bits are alike on all of them and tell nothing apart.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack

Centre = NDArray[np.float32]


def centre_of(blocks: Iterable[NDArray[np.float32]]) -> Centre:
    """The mean [L] of outputs in blocks [n, L], n > 0, at least one; summed in double precision: float32 rounds once."""
    total, count = np.zeros(1), 0
    for outputs in blocks:
        total, count = total + outputs.sum(0, dtype=np.float64), count + len(outputs)
    return (total / count).astype(np.float32)


def pack_around(outputs: NDArray[np.float32], centre: Centre) -> Codes:
    """Codes uint8 [n, L/8] of outputs [n, L]: bit k is 1 where output k is not below the centre's. Raises StudyError."""
    return pack(outputs - centre)


def pack_recentred(queries: NDArray[np.float32], database: NDArray[np.float32]) -> tuple[Codes, Codes]:
    """Codes of outputs of queries and database, about the mean over the database; the queries take no part in it."""
    centre = centre_of([database])
    return pack_around(queries, centre), pack_around(database, centre)
