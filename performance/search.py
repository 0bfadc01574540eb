"""What searching millions of codes costs: exactly beside faiss' own flat index, and by the approximate methods.

    python performance/search.py [CODES]

Writes reports/search.json; some 7 minutes on 2 cores for the 10 million codes of 128 bits that it draws unless told. They come in
clusters: random centres, some 100 codes of each with up to 8 bits flipped, and the queries likewise. Real codes may be easier or
harder. Each build and each search stands in a process of its own, whose greatest memory counts what is mapped of files too;
`own_mb` is without it. Exact search and faiss take turns. A busy machine slows all: `load` is the number of processes that wanted
the processor when the measurement began.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import faiss
import numpy as np
from medians import medians

from bcdh_lib.core.codes import Codes, make_index, search
from bcdh_lib.core.files import write_json
from bcdh_lib.search.large_search import approximate, build, exact, index_file, lists_of, parts_of, read_index, write_index
from bcdh_lib.study import find_root

BITS, FLIPS, CLUSTER, QUERIES, K, THREADS, RUNS = 128, 8, 100, 64, 100, 2, 5
NPROBES = {"ivf": (1, 8, 32, 128, 512), "multihash": (0, 1, 2)}
PATIENCE, MOST_RUNS = 4, 25
"""An approximate search is repeated for so many seconds, but so many times at most."""


def draw(centres: Codes, n: int, generator: np.random.Generator) -> Codes:
    """n codes, each a random centre with FLIPS times a random bit flipped."""
    codes = centres[generator.integers(0, len(centres), n)]
    for _ in range(FLIPS):
        bit = generator.integers(0, BITS, n)
        codes[np.arange(n), bit // 8] ^= (1 << bit % 8).astype(np.uint8)
    return codes


def write_codes(folder: Path, n: int) -> None:
    """codes.npy and queries.npy of the same centres; the codes in blocks, so that 10 million take little memory."""
    generator = np.random.default_rng(0)
    centres = generator.integers(0, 256, (max(1, n // CLUSTER), BITS // 8), np.uint8)
    codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.uint8, (n, BITS // 8))
    for start in range(0, n, 1_000_000):
        codes[start : start + 1_000_000] = draw(centres, len(codes[start : start + 1_000_000]), generator)
    codes.flush()
    np.save(folder / "queries.npy", draw(centres, QUERIES, generator))


def read_codes(folder: Path) -> tuple[Codes, Codes]:
    """The codes, mapped as an index maps them, and the queries."""
    return np.load(folder / "codes.npy", mmap_mode="r"), np.load(folder / "queries.npy")


def memory() -> dict[str, int]:
    """The greatest memory of this process so far, and what of it now is its own and not mapped of a file, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.endswith("kB")}
    return {"peak_mb": round(sizes["VmHWM"] / 1024), "own_mb": round(sizes["RssAnon"] / 1024)}


def compare_flat(folder: Path) -> dict[str, Any]:
    """Queries per second of exact search, and of faiss' flat index as it is and with all queries in one batch of its own."""
    codes, queries = read_codes(folder)
    plain, whole = make_index(codes), make_index(codes)
    whole.query_batch_size = QUERIES
    contestants = {
        "ours": partial(exact, codes, queries, K),
        "faiss": partial(plain.search, queries, K),
        "faiss_in_one_batch": partial(whole.search, queries, K),
    }
    rates = {name: QUERIES / seconds for name, seconds in medians(contestants, RUNS).items()}
    alone = medians({"ours": partial(exact, codes, queries[:1], K), "faiss": partial(plain.search, queries[:1], K)}, RUNS)
    same = all(np.array_equal(one, other) for one, other in zip(exact(codes, queries, K), search(plain, queries, K), strict=True))
    return {
        **{f"{name}_qps": round(rate, 1) for name, rate in rates.items()},
        "ratio": round(rates["ours"] / rates["faiss"], 3),
        "ratio_in_one_batch": round(rates["ours"] / rates["faiss_in_one_batch"], 3),
        **{f"{name}_one_query_ms": round(1e3 * seconds, 1) for name, seconds in alone.items()},
        "same_answers": same,
    }


def search_flat(folder: Path) -> dict[str, Any]:
    """Memory of exact search; its answers are left in the folder."""
    codes, queries = read_codes(folder)
    np.save(folder / "exact.npy", exact(codes, queries, K)[0])
    return memory()


def make_file(folder: Path, method: str) -> dict[str, Any]:
    """Seconds and memory that building the index takes, and its size on disk."""
    codes, _ = read_codes(folder)
    began = perf_counter()
    index = build(codes, method)
    built = perf_counter() - began
    path = index_file(folder, codes, method)
    write_index(path, index)
    return {
        "build_s": round(built, 1),
        "write_s": round(perf_counter() - began - built, 1),
        "bytes_a_code": round(path.stat().st_size / len(codes), 2),
        **memory(),
    }


def search_file(folder: Path, method: str, nprobe: int) -> dict[str, Any]:
    """Queries per second, recall and memory of the method from its file. A code no farther than the k-th nearest is right."""
    codes, queries = read_codes(folder)
    began = perf_counter()
    index = read_index(index_file(folder, codes, method), codes)
    opened = perf_counter() - began
    times: list[float] = []
    while sum(times) < PATIENCE and len(times) < MOST_RUNS:
        began = perf_counter()
        distances, rows = approximate(index, queries, K, nprobe)
        times.append(perf_counter() - began)
    right = (distances <= np.load(folder / "exact.npy")[:, -1:]) & (rows >= 0)
    return {
        "nprobe": nprobe,
        "qps": round(QUERIES / float(np.median(times)), 1),
        "runs": len(times),
        "recall": round(float(right.mean()), 4),
        "open_s": round(opened, 3),
        **memory(),
    }


def alone(job: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What the job gives in a new process, on THREADS threads of faiss."""
    with ProcessPoolExecutor(1, get_context("spawn"), faiss.omp_set_num_threads, (THREADS,)) as process:
        return process.submit(job, *arguments).result()


def measure(n: int) -> dict[str, Any]:
    """All figures for n codes."""
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="bcdh-") as place:
        folder = Path(place)
        write_codes(folder, n)
        flat = {"bytes_a_code": BITS // 8, **alone(search_flat, folder), **alone(compare_flat, folder)}
        forms = {"ivf": {"lists": lists_of(n)}, "multihash": dict(zip(("parts", "part_bits"), parts_of(n, BITS), strict=True))}
        found = {
            method: {
                **forms[method],
                **alone(make_file, folder, method),
                "search": [alone(search_file, folder, method, nprobe) for nprobe in nprobes],
            }
            for method, nprobes in NPROBES.items()
        }
    drawn = {"codes": n, "bits": BITS, "clusters": max(1, n // CLUSTER), "flips": FLIPS, "queries": QUERIES, "k": K, "runs": RUNS}
    return {**drawn, "threads": THREADS, "load": load, "faiss": faiss.__version__, "flat": flat, **found}


if __name__ == "__main__":
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    write_json(find_root() / "reports/search.json", figures)
    print(json.dumps(figures, indent=2))
