"""Retrieval benchmarks, one file a protocol. A new benchmark is one folder on disk and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.benchmarks.benchmark import Benchmark, BenchmarkError, Query
from bcdh_lib.benchmarks.holidays import read_holidays
from bcdh_lib.benchmarks.oxford_paris import read_oxford_paris

BENCHMARKS: dict[str, Callable[[Path], Benchmark]] = {
    "rendered_oxford": read_oxford_paris,
    "rendered_paris": read_oxford_paris,
    "rendered_holidays": read_holidays,
}


def read_benchmark(folder: Path) -> Benchmark:
    """The benchmark whose folder this is: the folder's name says the protocol.

    Raises BenchmarkError where the name is unknown, the folder is absent or its contents are not of the protocol's form.
    """
    if folder.name not in BENCHMARKS:
        raise BenchmarkError(f"retrieval.benchmarks: {folder.name} is unknown; known: {', '.join(BENCHMARKS)}")
    if not folder.is_dir():
        raise BenchmarkError(f"{folder}: is not there; make it with: dvc repro photos")
    return BENCHMARKS[folder.name](folder)


__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkError", "Query", "read_benchmark"]
