"""The nearest of many codes to a query: by Hamming distance, or by the query's real outputs.

    flat   faiss compares every code, in the mapped file: the exact Hamming distances
    ivf    faiss' inverted lists: a query reads the `nprobe` lists whose centres are nearest to it: faster, approximate

A query has real outputs, the photos have only bits. The asymmetric distance (Gordo et al., "Asymmetric distances for binary
embeddings", PAMI 2014) counts a bit that differs by the size of the query's output: near its threshold it says little. It is
here scaled to bits: with outputs of equal size it is the Hamming distance. Hamming distances choose a shortlist, which is then
sorted by the asymmetric distance.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes

Found = tuple[NDArray, NDArray[np.int64]]
"""Distances in bits [q, k] and rows [q, k], nearest first, equal ones in the order of rows; row -1 if no more was found."""
Search = Callable[[Codes, int], Found]
"""Hamming search: query codes [q, L/8] and k -> Found."""

NPROBE = 128
"""Lists that a query of ivf reads by default."""
SHORTLIST = 4000
"""Photos at least that are compared by the asymmetric distance; recall@100 >= .99 of 10 million codes (docs/performance.md)."""
SHORTLIST_PER_HIT = 40
SAMPLE, ADDED = 40, 1 << 16
"""Of ivf: codes a list that the centres are learned from (faiss warns below 39), and codes added at once (faiss' own 32 takes
twenty times as long)."""
EVERY_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float32)


def search_flat(codes: Codes, queries: Codes, k: int) -> Found:
    """The k nearest codes by Hamming distance, or all if there are fewer. Raises StudyError if the code lengths differ."""
    if queries.shape[1] != codes.shape[1]:
        raise StudyError(f"codes of {8 * queries.shape[1]} and {8 * codes.shape[1]} bits do not compare")
    k = min(k, len(codes))
    if not k or not len(queries):
        return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    codes = np.ascontiguousarray(codes)
    return _in_order(*_in_threads(lambda part: faiss.knn_hamming(part, codes, k, variant="hc"), queries))


def search_ivf(index: Any, queries: Codes, k: int, nprobe: int = NPROBE) -> Found:
    """What ivf finds in `nprobe` lists: with all lists the exact distances. Raises StudyError if the code lengths differ."""
    if 8 * queries.shape[1] != index.d:
        raise StudyError(f"codes of {8 * queries.shape[1]} and {index.d} bits do not compare")
    index.nprobe = min(nprobe, index.nlist)
    found = _in_threads(lambda part: index.search(part, min(k, index.ntotal)), queries)
    if not ((found[1] >= -1) & (found[1] < index.ntotal)).all():
        raise StudyError("ivf.faiss: is broken (it finds rows that do not exist); remove it, and the next search makes it again")
    return _in_order(*found)


def search_asymmetric(codes: Codes, outputs: NDArray[np.float32], k: int, search: Search, shortlist: int | None = None) -> Found:
    """The k photos of the shortlist that are nearest by the asymmetric distance.

    outputs: the queries' [q, L], centred as the codes are. search: gives the shortlist, by Hamming distance.
    """
    queries = pack(outputs)
    _, rows = search(queries, shortlist or max(SHORTLIST, SHORTLIST_PER_HIT * k))
    distances = [asymmetric(codes[row], query, real) for row, query, real in zip(rows, queries, outputs, strict=True)]
    measured = np.where(rows < 0, np.inf, np.reshape(np.asarray(distances, np.float32), rows.shape))
    return tuple(each[:, :k] for each in _in_order(measured, rows))  # type: ignore[return-value]


def asymmetric(codes: Codes, query: Codes, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Asymmetric distances [n], in bits, of codes [n, L/8] to one query with code [L/8] and outputs [L].

    L sum_k |u_k| [bit k differs] / sum_k |u_k|, u the outputs: 0 for the query's own code, L for the opposite one.
    """
    weights = np.abs(outputs) * (len(outputs) / max(float(np.abs(outputs).sum()), 1e-12))
    # One table a byte, of its 256 values: no BLAS, whose threads wait for each other on a busy machine, and equal codes tie.
    tables = np.einsum("bk,vk->bv", weights.reshape(-1, 8), EVERY_BYTE).astype(np.float32)
    return tables[np.arange(len(tables)), codes ^ query].sum(1)


def _in_order(distances: NDArray, rows: NDArray[np.int64]) -> Found:
    order = np.lexsort((rows, distances))
    return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)


def _in_threads(search: Callable[[Codes], Found], queries: Codes) -> Found:
    """The search of all queries, each thread searching for its part of them.

    faiss' own threads wait for each other after every 65,536 codes: on a busy machine that took a hundred times as long as the
    comparison itself.
    """
    threads = max(1, min(faiss.omp_get_max_threads(), len(queries)))
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:  # 1: in that thread alone
        parts = list(pool.map(search, np.array_split(np.ascontiguousarray(queries), threads)))
    return np.concatenate([distances for distances, _ in parts]), np.concatenate([rows for _, rows in parts])


def build_ivf(codes: Codes) -> Any:
    """ivf of the codes, of which there is at least one: about sqrt(n) lists, whose centres are k-means of a sample."""
    lists = max(1, min(math.isqrt(len(codes)), len(codes) // SAMPLE))
    index: Any = faiss.index_binary_factory(8 * codes.shape[1], f"BIVF{lists}")
    quantizer: Any = faiss.downcast_IndexBinary(index.quantizer)
    quantizer.query_batch_size = ADDED
    index.cp.min_points_per_centroid = 1
    sample = np.random.default_rng(0).choice(len(codes), min(len(codes), SAMPLE * lists), replace=False, shuffle=False)
    index.train(np.ascontiguousarray(codes[np.sort(sample)]))
    for start in range(0, len(codes), ADDED):
        index.add(np.ascontiguousarray(codes[start : start + ADDED]))
    return index


def write_ivf(path: Path, index: Any) -> None:
    """Write the index atomically. Raises OSError. (faiss itself refuses paths that are not UTF-8.)"""
    write_bytes(path, faiss.serialize_index_binary(index).tobytes())


def read_ivf(path: Path, codes: Codes) -> Any:
    """The index in the file. Raises StudyError if it is broken or not of these codes."""
    try:
        index: Any = faiss.deserialize_index_binary(np.fromfile(path, np.uint8))
        wrong = (index.ntotal, index.invlists.compute_ntotal(), index.d) != (len(codes), len(codes), 8 * codes.shape[1])
    except (RuntimeError, MemoryError, AttributeError):  # AttributeError: an index of another kind
        wrong = True
    if wrong:
        raise StudyError(f"{path}: is broken, or not of the codes next to it; remove it, and the next search makes it again")
    return index
