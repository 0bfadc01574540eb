"""Learned whitening: the linear map after which similar photos differ equally in every direction.

Mikolajczyk and Matas (ICCV 2007); on pairs from 3D models: Radenovic et al. (ECCV 2016), who project by C_s^(-1/2) and turn the
result to its principal components. The turn changes no distance, so it is left out here.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]


def learn_whitening(vectors: Vectors, pairs: NDArray[np.int64], shrinkage: float) -> tuple[Vectors, Vectors]:
    """The matrix [d, d] and offset [d] of x -> matrix x + offset, from vectors [n, d] and their similar pairs as rows [p, 2].

    The matrix is (C_s + shrinkage mean(diag C_s) I)^(-1/2), C_s the second moment of x - y over the similar pairs: shrinkage
    keeps directions in which the few pairs happen to agree from being blown up. The offset centres the vectors. The scale is
    such that the rows are unit vectors in the mean. Without any pair, or any difference, it is the identity, centred.
    """
    wide = vectors.astype(np.float64)
    difference = wide[pairs[:, 0]] - wide[pairs[:, 1]]
    within = difference.T @ difference
    mean = np.trace(within) / len(within)
    if mean > 0:
        spread, directions = np.linalg.eigh(within / mean)
        matrix = (directions * (spread.clip(min=0) + shrinkage) ** -0.5) @ directions.T
        matrix /= np.linalg.norm(matrix, axis=1).mean()
    else:
        matrix = np.eye(len(within))
    return matrix.astype(vectors.dtype), (-matrix @ wide.mean(0)).astype(vectors.dtype)
