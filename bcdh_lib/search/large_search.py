"""The nearest of millions of codes: exactly, from the mapped file itself, or sooner by one of faiss' approximate indexes.

    flat       compares every code: exact, and nothing is in memory but the mapped codes
    ivf        codes in lists, each by its nearest centre; a query reads the `nprobe` lists with the nearest centres
    multihash  codes cut into parts, a hash table a part; a query looks up its own parts with up to `nprobe` bits flipped
               (Norouzi, Punjani, Fleet, Fast search in Hamming space with multi-index hashing, CVPR 2012)

An approximate index is one file beside the codes, ROWS/METHOD-DIGEST.faiss, made when a search first asks for it. DIGEST is of
the name of ROWS, which is itself a digest of the rows, and of the index's form: a file of other rows or another form has another
name, and is never read. An update of the photos drops it with its rows.

faiss 1.15 maps the lists of ivf into memory (IO_FLAG_MMAP): opening takes no time, and a search holds what it reads. It does not
map multihash: the whole file is read and its tables are built in memory at each opening, whatever the flag.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from bcdh_lib.comparison.provenance import digest_of
from bcdh_lib.core import codes as stored
from bcdh_lib.core.codes import Codes
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line

Found = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distances in bits [q, k] and rows [q, k], nearest first; row -1 where an approximate search found no more."""

NPROBE = {"ivf": 128, "multihash": 1}
"""The approximate methods, and how far each looks unless told."""
METHODS = ("flat", *NPROBE)

SAMPLE = 40
"""Codes a list that the centres of ivf are learned from; faiss warns below 39."""
BLOCK = 1 << 16
"""Codes whose lists are found at once. faiss' own 32 take twenty times as long."""


def exact(codes: Codes, queries: Codes, k: int) -> Found:
    """The k nearest codes, or all where there are fewer; equal distances in the order of the rows.

    The same as codes.search of codes.make_index, without the index: mapped codes are read where they lie, not copied.
    Raises StudyError where the code lengths differ.
    """
    if queries.shape[1] != codes.shape[1]:
        raise StudyError(f"codes of {8 * queries.shape[1]} and {8 * codes.shape[1]} bits do not compare")
    k = min(k, len(codes))
    if not k or not len(queries):
        return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    codes = np.ascontiguousarray(codes)
    distances, rows = _in_threads(lambda share: faiss.knn_hamming(share, codes, k, variant="hc"), queries)
    order = np.lexsort((rows, distances))
    return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)


def _in_threads(search: Callable[[Codes], Found], queries: Codes) -> Found:
    """What the search gives of all queries, each thread searching for its share of them.

    faiss' own threads wait for each other after every 65,536 codes: on a busy machine that took a hundred times as long as to
    compare ten million codes with one query.
    """
    threads = max(1, min(faiss.omp_get_max_threads(), len(queries)))
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:  # 1: of the thread's own
        shares = list(pool.map(search, np.array_split(np.ascontiguousarray(queries), threads)))
    return np.concatenate([distances for distances, _ in shares]), np.concatenate([rows for _, rows in shares])


def approximate(index: Any, queries: Codes, k: int, nprobe: int) -> Found:
    """What an index of `build` finds within `nprobe`: lists of ivf, flipped bits a part of multihash.

    With all lists, or all bits of a part, the distances are the exact ones. Of codes at the last distance it may take others.
    Raises StudyError where the code lengths differ.
    """
    if 8 * queries.shape[1] != index.d:
        raise StudyError(f"codes of {8 * queries.shape[1]} and {index.d} bits do not compare")
    if isinstance(index, faiss.IndexBinaryIVF):
        index.nprobe = min(nprobe, index.nlist)
    else:
        index.nflip = min(nprobe, index.b)
    return _in_threads(lambda share: stored.search(index, share, k), queries)


def lists_of(n: int) -> int:
    """How many lists ivf has for n codes: sqrt(n), and no more than a sample can teach."""
    return max(1, min(math.isqrt(n), n // SAMPLE))


def parts_of(n: int, bits: int) -> tuple[int, int]:
    """(parts, bits a part) of multihash: log2(n) bits, so that a bucket holds about one code (Norouzi et al., section 4).

    But no more than 16: beyond, the tables of faiss have more buckets than there is memory for.
    """
    part = max(1, min(bits, 16, n.bit_length() - 1))
    return bits // part, part


def build(codes: Codes, method: str) -> Any:
    """An approximate index of the codes, of which there is at least one, in memory. Raises StudyError."""
    bits = 8 * codes.shape[1]
    if method == "multihash":
        _check_parts(codes)
        index = faiss.IndexBinaryMultiHash(bits, *parts_of(len(codes), bits))
    else:
        index = _learn_lists(codes, lists_of(len(codes)))
    for start in range(0, len(codes), BLOCK):
        index.add(np.ascontiguousarray(codes[start : start + BLOCK]))
    return index


def _check_parts(codes: Codes) -> None:
    """Raise StudyError where n codes, n a power of two, are alike in a whole part: faiss 1.15 writes the length of a bucket
    in the bits of a row's number, and n does not fit in these."""
    n, (parts, part) = len(codes), parts_of(len(codes), 8 * codes.shape[1])
    if n & (n - 1):
        return
    differ = np.unpackbits(np.bitwise_or.reduce(codes ^ codes[0], axis=0), bitorder="little")[: parts * part]
    if not differ.reshape(parts, part).any(1).all():
        raise StudyError(f"method multihash: a part of the {n:,} codes is alike in all of them; name another method")


def _learn_lists(codes: Codes, lists: int) -> Any:
    """An ivf without codes whose centres are k-means of a sample of them."""
    centres: Any = faiss.IndexBinaryFlat(8 * codes.shape[1])
    centres.query_batch_size = BLOCK
    index: Any = faiss.IndexBinaryIVF(centres, 8 * codes.shape[1], lists)
    index.referenced_objects = [centres]  # faiss holds no Python reference
    index.cp.min_points_per_centroid = 1
    sample = np.random.default_rng(0).choice(len(codes), min(len(codes), SAMPLE * lists), replace=False, shuffle=False)
    index.train(np.ascontiguousarray(codes[np.sort(sample)]))
    return index


def index_file(folder: Path, codes: Codes, method: str) -> Path:
    """Where the approximate index of the codes in `folder` lies, which is named by their digest."""
    form = f"lists {lists_of(len(codes))}" if method == "ivf" else f"parts {parts_of(len(codes), 8 * codes.shape[1])}"
    return folder / f"{method}-{digest_of([], folder.name, form)}.faiss"


def write_index(path: Path, index: Any) -> None:
    """Write it whole or not at all, in place of what the method has there for other rows. Raises StudyError, OSError."""
    part = path.with_name(f"{path.name}.part")
    part.open("wb").close()  # what forbids writing is said by the system; faiss would hide it in a text of its own
    try:
        faiss.write_index_binary(index, str(part))
    except RuntimeError as error:
        part.unlink(missing_ok=True)
        raise StudyError(f"{path}: cannot be written ({_line(error)}); make room there") from None
    os.replace(part, path)
    for stale in path.parent.glob(f"{path.name.partition('-')[0]}-*.faiss*"):
        if stale != path:
            stale.unlink(missing_ok=True)


def read_index(path: Path, codes: Codes) -> Any:
    """The index in the file, mapped where faiss can. Raises StudyError where it is broken or not of these codes."""
    try:
        index: Any = faiss.read_index_binary(str(path), faiss.IO_FLAG_MMAP)
    except (RuntimeError, MemoryError) as error:
        raise StudyError(f"{path}: is broken ({_line(error)}); remove it, and the next search makes it anew") from None
    lists = index.invlists.compute_ntotal() if hasattr(index, "invlists") else index.ntotal
    if (index.ntotal, lists, index.d) != (len(codes), len(codes), 8 * codes.shape[1]):
        raise StudyError(f"{path}: is not the index of the codes beside it; remove it, and the next search makes it anew")
    return index


def search_file(path: Path, codes: Codes, queries: Codes, k: int, nprobe: int) -> Found:
    """What `approximate` finds by the index in the file. Raises StudyError where it is broken or not of these codes."""
    found = approximate(read_index(path, codes), queries, k, nprobe)
    if not ((found[1] >= -1) & (found[1] < len(codes))).all():
        raise StudyError(f"{path}: is broken (it finds rows that are not there); remove it, and the next search makes it anew")
    return found


def _line(error: Exception) -> str:
    """The last part of faiss' message: before it stand a function of C++ and a place in it."""
    return one_line(str(error).rpartition("Error: ")[2])
