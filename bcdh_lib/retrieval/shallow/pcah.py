"""PCA hashing (Wang, Kumar and Chang, PAMI 2012, "PCAH"): the first L principal components; faiss."""

import faiss

from bcdh_lib.retrieval.shallow.coder import Coder, Vectors


def fit(vectors: Vectors, bits: int, seed: int) -> Coder:
    """Principal components. The seed is not used."""
    return train_pca(vectors, bits).apply


def train_pca(vectors: Vectors, dimensions: int) -> faiss.PCAMatrix:
    """faiss' PCA of vectors [n, d] to so many dimensions, fitted."""
    components = faiss.PCAMatrix(vectors.shape[1], dimensions)
    components.train(vectors)
    return components
