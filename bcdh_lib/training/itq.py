"""Iterative quantization (Gong and Lazebnik, CVPR 2011): PCA, then the rotation nearest to the cube's corners; by faiss."""

import functools

import faiss
import numpy as np
from numpy.typing import NDArray


def train_itq(vectors: NDArray[np.float32], bits: int, seed: int) -> faiss.ITQTransform:
    """faiss' transform of vectors [n, d] to `bits` dimensions whose signs are the code, fitted; n and d are at least `bits`."""
    transform, threads = faiss.ITQTransform(vectors.shape[1], bits, True), faiss.omp_get_max_threads()
    transform.itq.seed = seed
    faiss.omp_set_num_threads(1)  # sums in one order, on any number of cores
    try:
        transform.train(np.ascontiguousarray(vectors, dtype=np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    return transform


def itq_projection(vectors: NDArray[np.float32], bits: int, seed: int) -> NDArray[np.float32]:
    """ITQ's linear map [bits, d], its rotation combined with its PCA; random directions if there are too few vectors for PCA."""
    content = np.ascontiguousarray(vectors, dtype=np.float32).tobytes()
    return _projection(content, vectors.shape[1], bits, seed).copy()


@functools.lru_cache(maxsize=8)  # every method's layer starts from the same
def _projection(content: bytes, channels: int, bits: int, seed: int) -> NDArray[np.float32]:
    vectors = np.frombuffer(content, dtype=np.float32).reshape(-1, channels)
    if min(vectors.shape) <= bits:
        rotation = faiss.RandomRotationMatrix(vectors.shape[1], bits)
        rotation.init(seed)
        return faiss.vector_to_array(rotation.A).reshape(bits, -1)
    transform = train_itq(vectors, bits, seed)  # a reference: faiss frees the parts with it
    return faiss.vector_to_array(transform.pca_then_itq.A).reshape(bits, -1)
