"""What searching millions of codes costs: by Hamming and by asymmetric distance, exactly and by inverted lists.

    python performance/search.py [CODES]

Writes reports/search.json. It draws real outputs of 10 million photos (128 bits) by default: random centres, some 100
photos of each with noise of .6 per output, and the queries likewise; real collections may be easier or harder. `recall` is the
share of the true 100 nearest that are found: of the shortlist and the asymmetric distance against all asymmetric distances, of
ivf against all Hamming distances. faiss' own flat index is timed in turns with it. On one thread; times are processor times,
which other work hardly affects.
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import faiss
import numpy as np
import torch
from medians import medians, peak_mb
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack, unpack
from bcdh_lib.core.files import write_json
from bcdh_lib.search.nearest import Found, build_ivf, read_ivf, search_asymmetric, search_flat, search_ivf, write_ivf
from bcdh_lib.study import find_root

BITS, NOISE, CLUSTER, QUERIES, K, RUNS, BLOCK = 128, 0.6, 100, 64, 100, 3, 200_000
NPROBES = (8, 32, 128, 512)


def draw(centres: NDArray[np.float32], n: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Outputs [n, L] of n photos, each of a random centre."""
    return centres[generator.integers(0, len(centres), n)] + NOISE * generator.standard_normal((n, BITS), np.float32)


def draw_codes(file: Path, n: int) -> tuple[Codes, NDArray[np.float32]]:
    """n codes, mapped from the file as an index maps them, and the queries' outputs."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((max(1, n // CLUSTER), BITS), np.float32)
    codes = np.lib.format.open_memmap(file, "w+", np.uint8, (n, BITS // 8))
    for start in range(0, n, BLOCK):
        codes[start : start + BLOCK] = pack(draw(centres, len(codes[start : start + BLOCK]), generator))
    codes.flush()
    return np.load(file, mmap_mode="r"), draw(centres, QUERIES, generator)


def nearest_by_asymmetric(codes: Codes, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The asymmetric distances of the K nearest of all codes, [q, K], in bits."""
    weights = torch.from_numpy(outputs * (BITS / np.abs(outputs).sum(1, keepdims=True)))
    best = torch.empty(len(outputs), 0)
    for start in range(0, len(codes), BLOCK):
        distances = (BITS - weights @ torch.from_numpy(unpack(codes[start : start + BLOCK])).float().T) / 2
        best = torch.cat([best, distances], 1).topk(min(K, len(codes)), dim=1, largest=False).values
    return best.numpy()


def recall(found: Found, farthest: NDArray) -> float:
    """The share of K rows found that are no farther than the true K-th nearest, [q]."""
    return round(float((found[0][:, :K] <= farthest[:, None] + 1e-3).sum() / (len(farthest) * K)), 4)


def measure(n: int, folder: Path) -> dict[str, Any]:
    """All figures of n codes."""
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    codes, outputs = draw_codes(folder / "codes.npy", n)
    queries, flat = pack(outputs), partial(search_flat, codes)
    exact = flat(queries, K)
    found = search_asymmetric(codes, outputs, K, flat)
    memory, plain = peak_mb(), faiss.IndexBinaryFlat(BITS)
    plain.add(np.ascontiguousarray(codes))
    contestants = {
        "hamming": partial(flat, queries, K),
        "asymmetric": partial(search_asymmetric, codes, outputs, K, flat),
        "faiss": partial(plain.search, queries, K),
        "one_query": partial(search_asymmetric, codes, outputs[:1], K, flat),
    }
    seconds = medians(contestants, RUNS, process_time)
    figures: dict[str, Any] = {
        "codes": n,
        "bits": BITS,
        "queries": QUERIES,
        "k": K,
        "threads": 1,
        "peak_mb": memory,
        **{f"{name}_qps": round(QUERIES / seconds[name], 1) for name in ("hamming", "asymmetric", "faiss")},
        "one_query_ms": round(1e3 * seconds["one_query"], 1),
        "shortlist_recall": recall(found, nearest_by_asymmetric(codes, outputs)[:, -1]),
        "same_as_faiss": bool((np.sort(plain.search(queries, K)[0], 1) == exact[0]).all()),
    }
    del plain, contestants
    began = process_time()
    built = build_ivf(codes)
    write_ivf(folder / "ivf.faiss", built)
    figures["ivf"] = {
        "lists": built.nlist,
        "build_s": round(process_time() - began, 1),
        "bytes_a_code": round((folder / "ivf.faiss").stat().st_size / n, 1),
    }
    index = read_ivf(folder / "ivf.faiss", codes)
    for nprobe in NPROBES:
        search = partial(search_ivf, index, queries, K, nprobe)
        rate = QUERIES / medians({"ivf": search}, RUNS, process_time)["ivf"]
        figures["ivf"][f"nprobe_{nprobe}"] = {"qps": round(rate, 1), "recall": recall(search(), exact[0][:, -1])}
    return figures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bcdh-") as place:
        figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000, Path(place))
    write_json(find_root(Path(__file__).parent) / "reports/search.json", figures)
    print(json.dumps(figures, indent=2))
