"""Codes without a network of their own: fitted to fixed vectors, as done before hashing was learned end to end.

A new one is one function and one line in SHALLOW: training vectors [n, d], code length and seed -> a function that turns
vectors [m, d] into codes uint8 [m, L/8].
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.uh_bdnn import fit_uh_bdnn
from bcdh_lib.training.itq import train_itq

Vectors = NDArray[np.float32]
Coder = Callable[[Vectors], Codes]


def fit_lsh(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Signs of random projections of the centred vectors (Charikar, STOC 2002), faiss.RandomRotationMatrix."""
    rotation = faiss.RandomRotationMatrix(vectors.shape[1], bits)
    rotation.init(seed)
    mean = vectors.mean(0)
    return lambda fresh: pack(rotation.apply(np.ascontiguousarray(fresh - mean)))


def fit_itq(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Iterative quantization (Gong and Lazebnik, CVPR 2011): PCA, then the rotation nearest to the cube's corners; faiss."""
    transform = train_itq(vectors, bits, seed)
    return lambda fresh: pack(transform.apply(np.ascontiguousarray(fresh)))


def fit_pcah(vectors: Vectors, bits: int, seed: int) -> Coder:
    """PCA hashing (Wang, Kumar and Chang, PAMI 2012, "PCAH"): the signs of the first L principal components; faiss. No seed."""
    components = _train_pca(vectors, bits)
    return lambda fresh: pack(components.apply(np.ascontiguousarray(fresh)))


def fit_sh(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Spectral hashing (Weiss, Torralba and Fergus, NIPS 2008). No seed.

    Over the first L principal components, each taken as uniform between its least and greatest value a and b, the Laplacian's
    eigenfunctions of a single component are cos(k pi (x - a) / (b - a)); the L of lowest frequency k / (b - a) give the bits.
    """
    components = _train_pca(vectors, bits)
    projected = components.apply(np.ascontiguousarray(vectors))
    least, span = projected.min(0), np.maximum(np.ptp(projected, axis=0), 1e-12)
    frequency = np.pi * np.arange(1, bits + 1)[:, None] / span
    mode, component = np.unravel_index(np.argsort(frequency, axis=None, kind="stable")[:bits], frequency.shape)

    def code(fresh: Vectors) -> Codes:
        places = components.apply(np.ascontiguousarray(fresh)) - least
        return pack(np.cos(places[:, component] * frequency[mode, component]))

    return code


def _train_pca(vectors: Vectors, bits: int) -> faiss.PCAMatrix:
    faiss.omp_set_num_threads(1)  # as in itq.py
    components = faiss.PCAMatrix(vectors.shape[1], bits)
    components.train(np.ascontiguousarray(vectors, dtype=np.float32))
    return components


SHALLOW: dict[str, Callable[[Vectors, int, int], Coder]] = {
    "itq": fit_itq,
    "uh_bdnn": fit_uh_bdnn,
    "sh": fit_sh,
    "pcah": fit_pcah,
    "lsh": fit_lsh,
}


def fit(method: str, vectors: Vectors, bits: int, seed: int) -> Coder:
    """The coder of a method, fitted. Raises StudyError where the vectors are too few or too short for so many bits."""
    if min(vectors.shape) < bits:
        raise StudyError(f"{method}: {bits} bits need as many training vectors and dimensions, got {vectors.shape}")
    return SHALLOW[method](vectors.astype(np.float32), bits, seed)
