"""Locality-sensitive hashing (Charikar, STOC 2002): random projections of the centred vectors; faiss.RandomRotationMatrix."""

import faiss

from bcdh_lib.retrieval.shallow.coder import Coder, Vectors


def fit(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Projections on random orthogonal directions."""
    rotation = faiss.RandomRotationMatrix(vectors.shape[1], bits)
    rotation.init(seed)
    mean = vectors.mean(0)
    return lambda fresh: rotation.apply(fresh - mean)
