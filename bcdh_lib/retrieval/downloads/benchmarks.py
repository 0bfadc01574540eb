"""The published benchmarks: `make benchmarks NAME=oxford5k` puts one into data/benchmarks.

Archives are kept in data/benchmarks/archives: the revisited benchmarks share their photos with the first ones, and what was
fetched by hand may be put there under its published name. A benchmark is unpacked beside its place and renamed: it is there
whole or not at all. We know of no checksum that a publisher gives for any of these files: the sha256 found first is written to
data/benchmarks/SHA256SUMS, in the form of sha256sum, and a file that differs from it later is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import pickletools
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import LockError, locked, write_bytes
from bcdh_lib.core.text import one_line
from bcdh_lib.retrieval.benchmarks.oxford_paris import CORRUPT
from bcdh_lib.retrieval.downloads.archives import unpack
from bcdh_lib.retrieval.downloads.transfer import fetch
from bcdh_lib.study import find_root

ARCHIVES = "archives"
RECORD = "SHA256SUMS"
MB = 1_000_000

# What is wanted of an archive, by file name: the folder of the benchmark that it goes to. Archives differ in their own folders.
PLACES = {
    "images": re.compile(r"\w+\.jpg", re.ASCII),
    "groundtruth": re.compile(r"\w+_(query|good|ok|junk)\.txt", re.ASCII),
}


@dataclass(frozen=True)
class Source:
    """A published file: its address, the most bytes it may have, and its sha256 where the publisher gives one."""

    url: str
    most: int
    sha256: str | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name


@dataclass(frozen=True)
class Published:
    """A published benchmark: its files, how many photos it has, and the most bytes that its archives hold unzipped.

    holds: what must be there once it is unpacked, as patterns; left_out: photos (stems) that are left out.
    """

    sources: tuple[Source, ...]
    photos: int
    unzipped: int
    holds: tuple[str, ...]
    left_out: frozenset[str] = frozenset()


VGG = "https://www.robots.ox.ac.uk/~vgg/data"
REVISITED = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
HOLIDAYS = "http://pascal.inrialpes.fr/data/holidays"
OXFORD_PHOTOS = (Source(f"{VGG}/oxbuildings/oxbuild_images-v1.tgz", 2200 * MB),)
PARIS_PHOTOS = tuple(Source(f"{VGG}/parisbuildings/paris_{part}-v1.tgz", 2200 * MB) for part in (1, 2))
TRUTH = ("images/*.jpg", "groundtruth/*_query.txt")

PUBLISHED = {
    "oxford5k": Published((*OXFORD_PHOTOS, Source(f"{VGG}/oxbuildings/gt_files_170407.tgz", 10 * MB)), 5063, 2500 * MB, TRUTH),
    "paris6k": Published(
        (*PARIS_PHOTOS, Source(f"{VGG}/parisbuildings/paris_120310.tgz", 10 * MB)), 6392, 4500 * MB, TRUTH, CORRUPT
    ),
    "holidays": Published(
        tuple(Source(f"{HOLIDAYS}/jpg{part}.tar.gz", 2500 * MB) for part in (1, 2)), 1491, 5000 * MB, ("images/*.jpg",)
    ),
    "roxford5k": Published(
        (*OXFORD_PHOTOS, Source(f"{REVISITED}/roxford5k/gnd_roxford5k.pkl", 50 * MB)),
        5063,
        2500 * MB,
        ("images/*.jpg", "gnd_roxford5k.pkl"),
    ),
    "rparis6k": Published(
        (*PARIS_PHOTOS, Source(f"{REVISITED}/rparis6k/gnd_rparis6k.pkl", 50 * MB)),
        6392,
        4500 * MB,
        ("images/*.jpg", "gnd_rparis6k.pkl"),
        CORRUPT,
    ),
}


def download(name: str, wanted: Published, benchmarks: Path, pause: float = 1.0) -> None:
    """Put the benchmark into `benchmarks`/`name`; where that is there already, nothing is done. Prints what it does.

    pause: s before the second attempt at a broken connection. Raises StudyError; OSError where the disk fails.
    """
    target = benchmarks / name
    if target.exists():
        print(f"{target}: is there already; remove it to have it made anew")
        return
    with _alone(benchmarks):
        _check_space(wanted, benchmarks)
        files = [benchmarks / ARCHIVES / source.name for source in wanted.sources]
        for source, file in zip(wanted.sources, files, strict=True):
            if not file.is_file():
                print(f"fetching {source.url}")
                fetch(source.url, file, source.most, pause)
        digests = [_checked_digest(source, file, benchmarks) for source, file in zip(wanted.sources, files, strict=True)]
        unfinished = benchmarks / f"{name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            _fill(unfinished, wanted, files)
            _record(dict(zip(files, digests, strict=True)), benchmarks)
            os.rename(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    _tell(target, wanted)


@contextlib.contextmanager
def _alone(benchmarks: Path) -> Iterator[None]:
    """While open, no other process downloads into this folder. Raises StudyError where one does."""
    archives = benchmarks / ARCHIVES
    archives.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(archives / ".lock"))
        except LockError:
            raise StudyError(f"{benchmarks}: another download is at work there; wait until it has ended") from None
        yield


def _check_space(wanted: Published, benchmarks: Path) -> None:
    """Raise StudyError where the disk might not hold what is still to come, archives and photos."""
    archives = benchmarks / ARCHIVES
    lacking = [source for source in wanted.sources if not (archives / source.name).is_file()]
    parts = [archives / f"{source.name}.part" for source in lacking]
    need = wanted.unzipped + sum(source.most for source in lacking) - sum(part.stat().st_size for part in parts if part.is_file())
    free = shutil.disk_usage(benchmarks).free
    if free < need:
        raise StudyError(f"{benchmarks}: up to {need:,} bytes are needed, {free:,} are free; make room and type it again")


def _checked_digest(source: Source, file: Path, benchmarks: Path) -> str:
    """The file's sha256. Raises StudyError where it is not the published one, or not the one found by an earlier run."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if source.sha256 is not None and digest != source.sha256:
        file.unlink()
        raise StudyError(
            f"{file}: has sha256 {digest}, published is {source.sha256}; it is removed, type the command again to fetch it anew"
        )
    recorded = _recorded(benchmarks).get(f"{ARCHIVES}/{file.name}", digest)
    if digest != recorded:
        raise StudyError(
            f"{file}: has sha256 {digest}, an earlier run found {recorded}: it is damaged, or its publisher changed it; remove "
            f"it to fetch it anew, or its line in {benchmarks / RECORD} to take it as it is"
        )
    if source.sha256 is None:
        print(f"{file.name}: sha256 {digest}; its publisher gives none to hold it against, {RECORD} keeps it")
    return digest


def _recorded(benchmarks: Path) -> dict[str, str]:
    """File, relative to `benchmarks` -> its sha256 as an earlier run found it."""
    record = benchmarks / RECORD
    try:
        lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    except UnicodeDecodeError as error:
        raise StudyError(f"{record}: is no text ({error}); remove it, and what lies there is taken as it is") from None
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _record(found: dict[Path, str], benchmarks: Path) -> None:
    """Keep what was found, in the form that `sha256sum -c` reads. Only files that proved readable come here."""
    kept = _recorded(benchmarks) | {f"{ARCHIVES}/{file.name}": digest for file, digest in found.items()}
    write_bytes(benchmarks / RECORD, "".join(f"{kept[file]}  {file}\n" for file in sorted(kept)).encode())


def _fill(folder: Path, wanted: Published, files: list[Path]) -> None:
    """Make the benchmark in `folder` from its published files. Raises StudyError."""

    def place(name: str) -> str | None:
        if name.removesuffix(".jpg") in wanted.left_out:
            return None
        return next((f"{kind}/{name}" for kind, pattern in PLACES.items() if pattern.fullmatch(name)), None)

    room = wanted.unzipped
    for file in files:
        if file.suffix == ".pkl":
            _check_pickle(file)
            shutil.copyfile(file, folder / file.name)
        else:
            room -= unpack(file, folder, place, room)
    for pattern in wanted.holds:
        if not any(folder.glob(pattern)):
            raise StudyError(f"{', '.join(map(str, files))}: hold no {pattern}; remove them to fetch them anew")


def _check_pickle(file: Path) -> None:
    """Raise StudyError where a pickle does not come to its end; runs nothing of it."""
    try:
        for _ in pickletools.genops(file.read_bytes()):
            pass
    except Exception as error:  # a broken pickle raises nearly anything
        file.unlink()
        raise StudyError(
            f"{file}: is no pickle ({one_line(error)}); it is removed, type the command again to fetch it anew"
        ) from None


def _tell(target: Path, wanted: Published) -> None:
    found = sum(1 for _ in target.glob("images/*.jpg"))
    expected = "" if found == wanted.photos else f", but {wanted.photos:,} were expected"
    print(f"{target}: {found:,} photos{expected}; {target.parent / ARCHIVES} may be removed")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 where the benchmark is there, 1 where it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="make benchmarks",
        usage="make benchmarks NAME=oxford5k",
        description="Download a published benchmark into data/benchmarks.",
    )
    parser.add_argument("name", metavar="NAME", choices=list(PUBLISHED), help=", ".join(PUBLISHED))
    name = parser.parse_args(arguments).name
    try:
        download(name, PUBLISHED[name], find_root() / "data/benchmarks")
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except (StudyError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
