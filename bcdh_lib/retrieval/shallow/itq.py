"""Iterative quantization (Gong and Lazebnik, CVPR 2011): PCA, then the rotation nearest to the cube's corners; faiss."""

from bcdh_lib.retrieval.shallow.coder import Coder, Vectors
from bcdh_lib.training.itq import train_itq


def fit(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Rotated principal components."""
    return train_itq(vectors, bits, seed).apply
