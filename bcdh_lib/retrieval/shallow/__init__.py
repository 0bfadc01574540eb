"""Codes of fixed vectors, without a hash network, as was done before hashing was learned end to end.

A new coder is one file here with a function `fit`: training vectors [n, d], code length L and seed -> a coder. All vectors come
as contiguous float32.
"""

from collections.abc import Callable

import numpy as np

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.registry import discover
from bcdh_lib.retrieval.shallow.coder import Coder, Vectors

SHALLOW: dict[str, Callable[[Vectors, int, int], Coder]] = discover(__name__, "fit")


def fit_shallow(method: str, vectors: Vectors, bits: int, seed: int) -> Coder:
    """The coder of a method, fitted. Raises StudyError if the vectors are too few or too short for so many bits."""
    if min(vectors.shape) < bits:
        raise StudyError(f"{method}: {bits} bits need as many training vectors and dimensions, got {vectors.shape}")
    coder = SHALLOW[method](np.ascontiguousarray(vectors, np.float32), bits, seed)
    return lambda others: coder(np.ascontiguousarray(others, np.float32))
