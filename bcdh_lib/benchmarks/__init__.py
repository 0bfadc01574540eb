"""Retrieval benchmarks, one file a protocol. A new benchmark is one reader and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.benchmarks.benchmark import Benchmark, BenchmarkError, Query
from bcdh_lib.benchmarks.holidays import read_holidays
from bcdh_lib.benchmarks.oxford_paris import read_oxford_paris
from bcdh_lib.benchmarks.pile import read_pile
from bcdh_lib.study import Study


def _in_folder(read: Callable[[Path], Benchmark]) -> Callable[[Study, str], Benchmark]:
    """A reader of benchmark folders as a reader of the study's benchmark of a name."""

    def read_named(study: Study, name: str) -> Benchmark:
        folder = study.benchmarks / name
        if not folder.is_dir():
            raise BenchmarkError(f"{folder}: is not there; make it with: dvc repro photos")
        return read(folder)

    return read_named


BENCHMARKS: dict[str, Callable[[Study, str], Benchmark]] = {
    "rendered_oxford": _in_folder(read_oxford_paris),
    "rendered_paris": _in_folder(read_oxford_paris),
    "rendered_holidays": _in_folder(read_holidays),
    "pile": lambda study, _: read_pile(study),
}


def read_benchmark(study: Study, name: str) -> Benchmark:
    """The benchmark of that name. Raises BenchmarkError where it is unknown, not there, or not of its protocol's form."""
    if name not in BENCHMARKS:
        raise BenchmarkError(f"retrieval.benchmarks: {name} is unknown; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name](study, name)


__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkError", "Query", "read_benchmark"]
