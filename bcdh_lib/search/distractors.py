"""Photos that answer no query and fill up a benchmark's database: their codes, from an index, and what they do to its ranks.

A distractor is no query's positive and no query's junk, so only the number of distractors at each distance counts
(metrics.Ties). They are counted in blocks: the ranking among a million photos is exact and never in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bcdh_lib.core.codes import Codes, hamming
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import Counts, Ties, tally
from bcdh_lib.retrieval.benchmarks import Benchmark
from bcdh_lib.search.photo_index import PhotoIndex, Rows, open_index

DISTANCES = 1 << 22
"""Distances counted at once."""


def open_distractors(folder: Path, model: str) -> PhotoIndex:
    """The index in `folder`. Raises StudyError if its codes are not those of the checkpoint with the SHA-256 `model`."""
    index = open_index(folder)
    if index.facts.model != model:
        raise StudyError(f"{folder}: its codes are those of another model; name the folder of its photos with --distractors")
    if index.facts.centred_on:
        raise StudyError(f"{folder}: is recentred, and a benchmark is not; name the folder of its photos with --distractors")
    return index


def codes_without(rows: Rows, benchmark: Benchmark) -> Iterator[Codes]:
    """The codes of an index, in blocks, without the photos that are files of the benchmark: they may answer a query."""
    files = {path.resolve() for path in (*benchmark.photos.values(), *benchmark.query_photos.values())}
    own = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    others = np.flatnonzero(~rows.photos()["sha256"].isin(own).to_numpy())
    for start in range(0, len(others), DISTANCES):
        yield rows.codes[others[start : start + DISTANCES]]


def counted(queries: Codes, blocks: Iterable[Codes]) -> Counts:
    """How many codes lie at each distance of each query, [q, bits + 1]. Raises StudyError if the code lengths differ."""
    width = 8 * queries.shape[1] + 1
    counts = np.zeros((len(queries), width), np.int64)
    step = max(1, DISTANCES // max(1, len(queries)))
    for block in blocks:
        for start in range(0, len(block), step):
            counts += tally(hamming(queries, block[start : start + step]), width)
    return counts


def with_distractors(ties: Ties, counts: Counts) -> Ties:
    """The ties of a benchmark with distractors among them: larger, with the same hits. Tie t holds what lies at distance t."""
    sizes, hits = np.zeros_like(counts), np.zeros_like(counts)
    known = ties.sizes.shape[1]
    sizes[:, :known], hits[:, :known] = ties.sizes, ties.hits
    return Ties(sizes + counts, hits)
