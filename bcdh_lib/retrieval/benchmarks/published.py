"""The published benchmarks: by what counts each is known to be whole, and where what must be put that is not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark
from bcdh_lib.retrieval.benchmarks.files import photo_folder


@dataclass(frozen=True)
class Published:
    """Photos of the database, queries, the archives that hold the photos, and the ground truth where there is a file of it."""

    photos: int
    queries: int
    archives: str
    truth: str = ""


_OXFORD, _PARIS = "oxbuild_images.tgz", "paris_1.tgz and paris_2.tgz"
PUBLISHED = {
    "oxford5k": Published(5063, 55, _OXFORD, "gt_files_170407.zip unpacked into groundtruth (or gnd_oxford5k.pkl)"),
    "paris6k": Published(6392, 55, _PARIS, "paris_120310.zip unpacked into groundtruth (or gnd_paris6k.pkl)"),
    "holidays": Published(1491, 500, "jpg1.tar.gz and jpg2.tar.gz"),
    "roxford5k": Published(4993, 70, _OXFORD, "gnd_roxford5k.pkl"),
    "rparis6k": Published(6322, 70, _PARIS, "gnd_rparis6k.pkl"),
}


def require_folder(folder: Path) -> None:
    """Raise StudyError, saying where to put what, where the folder of a published benchmark is not there."""
    if not folder.is_dir():
        known = PUBLISHED[folder.name]
        truth = f", and beside it {known.truth}" if known.truth else ""
        raise StudyError(
            f"{folder}: is not there; bring it by: make benchmarks NAME={folder.name}, or put all photos of {known.archives} "
            f"straight into {folder / 'jpg'}{truth}"
        )


def require_counts(folder: Path, benchmark: Benchmark) -> None:
    """Raise StudyError where the benchmark read from a published one's folder has more or less than was published."""
    known = PUBLISHED[folder.name]
    if len(benchmark.photos) != known.photos:
        raise StudyError(
            f"{photo_folder(folder)}: gives {folder.name} {len(benchmark.photos):,} photos, not {known.photos:,}; "
            f"put all photos of {known.archives} there and nothing else"
        )
    if len(benchmark.queries) != known.queries:
        truth = known.truth or f"the photos of {known.archives}"
        raise StudyError(
            f"{folder}: gives {folder.name} {len(benchmark.queries):,} queries, not {known.queries:,}; bring back {truth}"
        )
