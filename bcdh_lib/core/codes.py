"""Outputs -> packed codes -> distances.

A code is uint8 [L/8]: bit k, counted from the lowest bit of the first byte, is 1 if output k is >= 0 (sgn(0) is +1).
"""

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError

Codes = NDArray[np.uint8]
STEPS = 2.0**30
"""A query's largest output, in the integer steps that asymmetric distances count: sums over up to 2^22 bits are exact."""
BLOCK = 1 << 14
"""Codes unpacked at a time."""


def pack(outputs: NDArray) -> Codes:
    """Codes uint8 [n, L/8] of outputs [n, L]. Raises StudyError if L is no multiple of 8 or an output is not finite."""
    if outputs.ndim != 2 or outputs.shape[1] % 8:
        raise StudyError(f"outputs of shape {outputs.shape} do not pack: the code length must be a multiple of 8")
    if not np.isfinite(outputs).all():
        raise StudyError("an output is not finite: the network that made it is broken")
    return np.packbits(outputs >= 0, axis=1, bitorder="little")


def unpack(codes: Codes) -> NDArray[np.int8]:
    """The codes as -1 and +1, int8 [n, L]."""
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.int8) * 2 - 1


def hamming(queries: Codes, database: Codes) -> NDArray[np.uint8 | np.uint16]:
    """Hamming distances in bits, [queries, database], uint8 if they fit; widen them before any sum.

    Raises StudyError if the code lengths differ.
    """
    if queries.shape[1] != database.shape[1]:
        raise StudyError(f"codes of {8 * queries.shape[1]} and {8 * database.shape[1]} bits cannot be compared")
    found = np.empty((len(queries), len(database)), dtype=np.min_scalar_type(8 * queries.shape[1]))
    stored = np.ascontiguousarray(_words(database).T)
    # One query at a time: the differing bits stay in the processor's cache.
    for row, query in zip(found, _words(queries), strict=True):
        np.bitwise_count(stored[0] ^ query[0], out=row)
        for word in range(1, len(query)):
            row += np.bitwise_count(stored[word] ^ query[word])
    return found


def _words(codes: Codes) -> NDArray:
    """The same bits in the widest words that divide the code, for fewer XORs."""
    return np.ascontiguousarray(codes).view(f"u{np.gcd(codes.shape[1], 8)}")


def distances(queries: NDArray, database: NDArray) -> NDArray:
    """Distances [queries, database]: of codes (uint8) in bits, of unit vectors (float) squared."""
    return hamming(queries, database) if queries.dtype == np.uint8 else 2 - 2 * (queries @ database.T)


def asymmetric_distances(outputs: NDArray, database: Codes) -> NDArray[np.float64]:
    """Distances [q, n] of real outputs [q, L] to codes: the sum of |output k| over the bits k of the other sign in the code.

    Of outputs -1 and +1 it is the Hamming distance. Outputs are rounded to 1 / STEPS of the query's largest, which makes sums
    exact: equal codes tie, and the order of the database changes nothing. Raises StudyError if code lengths differ.
    """
    if outputs.shape[1] != 8 * database.shape[1]:
        raise StudyError(f"outputs of {outputs.shape[1]} and codes of {8 * database.shape[1]} bits cannot be compared")
    largest = np.abs(outputs).max(1, keepdims=True, initial=0).astype(np.float64)
    scale = np.where(largest > 0, largest, 1) / STEPS
    steps = np.rint(outputs / scale)
    total, found = np.abs(steps).sum(1, keepdims=True), np.empty((len(outputs), len(database)))
    for start in range(0, len(database), BLOCK):
        products = steps @ unpack(database[start : start + BLOCK]).T.astype(np.float64)
        found[:, start : start + BLOCK] = (total - products) * (scale / 2)
    return found


def centre_of(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean [L] of outputs [n, L], n >= 1: the thresholds of recentred codes. Double precision, so float32 rounds once.

    A network centres its outputs on the training photos. On photos of another kind, a bit whose outputs nearly all lie on one
    side of the threshold separates nothing.
    """
    return outputs.mean(0, dtype=np.float64).astype(np.float32)
