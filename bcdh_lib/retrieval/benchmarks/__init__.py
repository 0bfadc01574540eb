"""Retrieval benchmarks, one file a protocol. A new benchmark is one reader and one line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.files import require_photos
from bcdh_lib.retrieval.benchmarks.holidays import read_holidays
from bcdh_lib.retrieval.benchmarks.oxford_paris import CORRUPT, read_oxford_paris
from bcdh_lib.retrieval.benchmarks.pile import read_pile
from bcdh_lib.retrieval.benchmarks.published import require_counts, require_folder
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, read_revisited
from bcdh_lib.study import Study

Reader = Callable[[Path], Benchmark]
SEVERAL = {name: [f"{name}_{protocol}" for protocol in PROTOCOLS] for name in ("roxford5k", "rparis6k")}
"""What retrieval.benchmarks may name for all of its protocols at once. They lie in one folder of that name."""
FOLDERS = {each: name for name, protocols in SEVERAL.items() for each in protocols}


def _rendered(read: Reader) -> Callable[[Study, str], Benchmark]:
    """A reader of benchmark folders as a reader of the benchmark of a name that the study renders."""

    def read_named(study: Study, name: str) -> Benchmark:
        folder = folder_of(study, name)
        if not folder.is_dir():
            raise StudyError(f"{folder}: is not there; make it with: dvc repro photos")
        return read(folder)

    return read_named


def _published(read: Reader) -> Callable[[Study, str], Benchmark]:
    """The same of a published benchmark, which must be whole."""

    def read_named(study: Study, name: str) -> Benchmark:
        folder = folder_of(study, name)
        require_folder(folder)
        benchmark = read(folder)
        require_counts(folder, benchmark)
        return benchmark

    return read_named


BENCHMARKS: dict[str, Callable[[Study, str], Benchmark]] = {
    "rendered_oxford": _rendered(read_oxford_paris),
    "rendered_paris": _rendered(read_oxford_paris),
    "rendered_holidays": _rendered(read_holidays),
    "pile": lambda study, _: read_pile(study),
    "oxford5k": _published(read_oxford_paris),
    "paris6k": _published(partial(read_oxford_paris, corrupt=CORRUPT)),
    "holidays": _published(read_holidays),
    **{f"roxford5k_{protocol}": _published(partial(read_revisited, protocol=protocol)) for protocol in PROTOCOLS},
    **{f"rparis6k_{protocol}": _published(partial(read_revisited, protocol=protocol)) for protocol in PROTOCOLS},
}


def folder_of(study: Study, name: str) -> Path:
    """Where the benchmark of that name lies, if it has a folder."""
    return study.benchmarks / FOLDERS.get(name, name)


def asked(study: Study) -> list[str]:
    """The names of the benchmarks that retrieval.benchmarks asks for, in that order, each protocol by its own, each once."""
    names = [each for name in study.params.retrieval.benchmarks for each in SEVERAL.get(name, [name])]
    return list(dict.fromkeys(names))


def read_benchmark(study: Study, name: str) -> Benchmark:
    """The benchmark of that name. Raises StudyError where it is unknown, not there, or not of its protocol's form."""
    if name not in BENCHMARKS:
        known = ", ".join([*BENCHMARKS, *(f"{each} (all its protocols)" for each in SEVERAL)])
        raise StudyError(f"retrieval.benchmarks: {name} is unknown; known: {known}")
    return BENCHMARKS[name](study, name)


__all__ = [
    "BENCHMARKS",
    "SEVERAL",
    "Benchmark",
    "Query",
    "StudyError",
    "asked",
    "folder_of",
    "read_benchmark",
    "require_photos",
]
