"""Spectral hashing (Weiss, Torralba and Fergus, NIPS 2008).

Over the first L principal components, each taken as uniform between its least and greatest value a and b, the Laplacian's
eigenfunctions of a single component are cos(k pi (x - a) / (b - a)). The L of lowest frequency k / (b - a) give the bits.
"""

import numpy as np

from bcdh_lib.retrieval.shallow.coder import Coder, Vectors
from bcdh_lib.retrieval.shallow.pcah import train_pca


def fit(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Eigenfunctions of lowest frequency. The seed is not used."""
    components = train_pca(vectors, bits)
    projected = components.apply(vectors)
    least, span = projected.min(0), np.maximum(np.ptp(projected, axis=0), 1e-12)
    frequency = np.pi * np.arange(1, bits + 1)[:, None] / span
    mode, component = np.unravel_index(np.argsort(frequency, axis=None, kind="stable")[:bits], frequency.shape)

    def code(fresh: Vectors) -> Vectors:
        along = components.apply(fresh) - least
        return np.cos(along[:, component] * frequency[mode, component]).astype(np.float32)

    return code
