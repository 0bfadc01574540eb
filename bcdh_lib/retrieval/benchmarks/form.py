"""The form of a benchmark: its layout on disk, and which benchmarks of that form are known by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark
from bcdh_lib.retrieval.benchmarks.photo_files import photo_folder
from bcdh_lib.study import Study


@dataclass(frozen=True)
class Published:
    """A published benchmark: the counts that tell whether it is complete, and the files that it is made from.

    photos, queries: in the database, and asked; urls: archives of photos and ground truth, in their publisher's place;
    truth: the ground truth's file or folder; empty if the photos' names are the ground truth.
    """

    photos: int
    queries: int
    urls: tuple[str, ...]
    truth: str = ""

    @property
    def archives(self) -> str:
        return ", ".join(url.rsplit("/", 1)[-1] for url in self.urls)


@dataclass(frozen=True)
class Form:
    """One protocol. `read` takes the study, the benchmark's folder and one of `variants`, and raises StudyError.

    variants: ways to score one benchmark's queries; each is a benchmark FOLDER_VARIANT that shares the photos and their codes.
    made_by_study: benchmarks of this form that the study makes itself; published: those of others; has_folder: if not, it is made
    from the study's tables.
    """

    read: Callable[[Study, Path, str], Benchmark]
    variants: tuple[str, ...] = ("",)
    made_by_study: tuple[str, ...] = ()
    published: Mapping[str, Published] = field(default_factory=dict)
    has_folder: bool = True


def require_folder(folder: Path, form: Form) -> None:
    """Raise StudyError if a benchmark's folder is not there; the message says how to get it."""
    if folder.is_dir() or not form.has_folder:
        return
    published = form.published.get(folder.name)
    if published is None:
        fix = "make it with: dvc repro photos" if folder.name in form.made_by_study else "put the benchmark there"
        raise StudyError(f"{folder}: is not there; {fix}")
    raise StudyError(
        f"{folder}: is not there; bring it with: make benchmarks NAME={folder.name}, or unpack {published.archives} there, "
        f"all photos in {folder / 'jpg'}{', with ' + published.truth if published.truth else ''}"
    )


def require_counts(folder: Path, benchmark: Benchmark, published: Published) -> None:
    """Raise StudyError if a published benchmark has more or fewer photos or queries than its publisher says."""
    for found, wanted, noun, place in (
        (len(benchmark.photos), published.photos, "photos", photo_folder(folder)),
        (len(benchmark.queries), published.queries, "queries", folder / published.truth),
    ):
        if found != wanted:
            raise StudyError(
                f"{place}: gives {folder.name} {found:,} {noun}, not {wanted:,}; put exactly what was published there "
                f"({published.archives}), or name a part of it under retrieval.own_benchmarks"
            )
