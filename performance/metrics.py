"""Cost of mAP: the library's, exact under ties, against a plain loop of sorts and two hashing libraries.

    python performance/metrics.py [--deephash CHECKOUT] [--fire CHECKOUT]

Writes reports/metrics_speed.json in a minute or two on one thread. Times are processor times, which other work hardly affects.
side_by_side: some queries against the whole database; the contestants take turns in one process, and `ratio` is a time over the
library's. whole: the library alone, all queries, a block at a time, in its own process, with its peak memory; one_block: one
larger block. The others compute the AP of one order of the ties, which must lie between `worst` and `best`. --deephash is a
checkout of swuxyj/DeepHash-pytorch (utils/tools.py), --fire one of CISiPLab/cisip-FIRe (functions/metrics.py); their own
requirements must be installed. Codes are drawn: a random centre a class, each bit flipped with probability FLIPPED.
"""

import argparse
import json
import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from medians import alone, medians, peak_mb

from bcdh_lib.core.codes import Codes, hamming, pack, unpack
from bcdh_lib.core.files import write_json
from bcdh_lib.core.imports import import_torchvision
from bcdh_lib.core.metrics import Order, average_precision, ties_of_distances
from bcdh_lib.study import find_root, fix_threads

QUERIES, CODES, BITS, CLASSES, FLIPPED = 10_000, 50_000, 64, 100, 0.3
FEW, BLOCK, RUNS = 64, 128, 3
"""Queries side by side, queries of a block, runs that count."""
GOAL = {"ratio": 20, "peak_mb": 1024}


@dataclass(frozen=True)
class Case:
    """Codes uint8 [n, L/8] and classes [n] of queries and database; the same class is a positive."""

    queries: Codes
    query_labels: np.ndarray
    database: Codes
    labels: np.ndarray


def draw(queries: int, codes: int) -> Case:
    """Each code is its class' centre with bits flipped; the first queries are the same however many are drawn."""
    centres = np.random.default_rng(0).integers(0, 2, (CLASSES, BITS), np.int8) * 2 - 1

    def part(n: int, seed: int) -> tuple[Codes, np.ndarray]:
        labels = np.random.default_rng([seed, 0]).integers(0, CLASSES, n)
        flips = np.random.default_rng([seed, 1]).random((n, BITS), np.float32) < FLIPPED
        return pack(centres[labels] * np.where(flips, -1, 1)), labels

    return Case(*part(queries, 1), *part(codes, 2))


def library(case: Case, order: Order = "expected", block: int = BLOCK) -> float:
    """mAP (rectangle), a block of queries at a time."""
    precisions = []
    for start in range(0, len(case.queries), block):
        rows = slice(start, start + block)
        positive = case.query_labels[rows, None] == case.labels
        ties = ties_of_distances(hamming(case.queries[rows], case.database), positive)
        precisions.append(average_precision(ties, "rectangle", order))
    return float(np.nanmean(np.concatenate(precisions)))


def plain(case: Case) -> float:
    """mAP (rectangle) one query at a time: distances as products of -1 and +1, sorted; ties as the sort leaves them."""
    database, precisions = unpack(case.database).astype(np.float32), []
    for code, label in zip(unpack(case.queries).astype(np.float32), case.query_labels, strict=True):
        ranked = case.labels[np.argsort((len(code) - database @ code) / 2)]
        ranks = np.flatnonzero(ranked == label)
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1)) if len(ranks) else np.nan)
    return float(np.nanmean(precisions))


def deephash(checkout: Path, case: Case) -> Callable[[], float]:
    """CalcTopMap of DeepHash-pytorch, which wants codes of -1 and +1 and labels as rows of 0 and 1."""
    import_torchvision()
    tools = runpy.run_path(str(checkout / "utils/tools.py"))
    codes = [unpack(part).astype(np.float32) for part in (case.database, case.queries)]
    labels = [np.eye(CLASSES, dtype=np.float32)[part] for part in (case.labels, case.query_labels)]
    # topk is the whole database: its -1 for "all" cuts the last photo off.
    return lambda: float(tools["CalcTopMap"](*codes, *labels, topk=len(case.database)))


def fire(checkout: Path, case: Case) -> Callable[[], float]:
    """calculate_mAP of cisip-FIRe, with classes as numbers, which is faster there than rows of 0 and 1."""
    import_torchvision()
    sys.path.insert(0, str(checkout))
    metrics, configs = import_module("functions.metrics"), import_module("configs")
    configs.disable_tqdm = True

    parts = [(case.database, case.labels), (case.queries, case.query_labels)]
    tensors = [
        tensor for codes, labels in parts for tensor in (torch.from_numpy(unpack(codes)).float(), torch.from_numpy(labels))
    ]
    return lambda: float(metrics.calculate_mAP(*tensors, Rs=-1, device=torch.device("cpu"), onehot=False))


PEERS: dict[str, Callable[[Path, Case], Callable[[], float]]] = {"deephash": deephash, "fire": fire}


def compare(checkouts: dict[str, Path], queries: int = FEW, codes: int = CODES) -> dict[str, Any]:
    """Median milliseconds a query of each, its ratio to the library's, and the mAP it gives."""
    case = draw(queries, codes)
    contestants: dict[str, Callable[[], float]] = {"library": partial(library, case), "plain": partial(plain, case)}
    contestants |= {name: PEERS[name](checkout, case) for name, checkout in checkouts.items()}
    found: dict[str, float] = {}

    def run(name: str) -> None:
        found[name] = contestants[name]()

    taken = medians({name: partial(run, name) for name in contestants}, RUNS, process_time)
    rows = [
        {
            "method": name,
            "ms_a_query": round(1e3 * seconds / queries, 2),
            "ratio": round(seconds / taken["library"], 1),
            "map": round(found[name], 5),
        }
        for name, seconds in taken.items()
    ]
    return {
        "queries": queries,
        "worst": round(library(case, "worst"), 5),
        "best": round(library(case, "best"), 5),
        "methods": rows,
    }


def whole(queries: int, block: int) -> dict[str, Any]:
    """Seconds, mAP and peak memory (MB) of the library, run once."""
    case, began = draw(queries, CODES), process_time()
    found = library(case, block=block)
    seconds = process_time() - began
    return {"queries": queries, "block": block, "s": round(seconds, 1), "map": round(found, 5), "peak_mb": peak_mb()}


def measure(checkouts: dict[str, Path]) -> dict[str, Any]:
    """All figures."""
    load = round(os.getloadavg()[0], 1)
    return {
        **{"codes": CODES, "bits": BITS, "classes": CLASSES, "threads": 1, "load": load, "goal": GOAL},
        "side_by_side": alone(compare, checkouts),
        "whole": alone(whole, QUERIES, BLOCK),
        "one_block": alone(whole, 4 * BLOCK, 4 * BLOCK),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What mAP costs, against others.")
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, metavar="CHECKOUT")
    options = vars(parser.parse_args())
    fix_threads(1)
    os.environ["TQDM_DISABLE"] = "1"  # the others' bars
    figures = measure({name: path.resolve() for name, path in options.items() if path})
    write_json(find_root() / "reports/metrics_speed.json", figures)
    print(json.dumps(figures, indent=2))
