"""One file of a collection: decoded to a photo, or left out with a reason."""

import hashlib
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

from loky import ProcessPoolExecutor
from pydantic import Field

from bcdh_lib import params
from bcdh_lib.core.errors import one_line
from bcdh_lib.core.parallel import process_pool
from bcdh_lib.photos.decoding import Picture, Unfit, decode, prepare_process, read_header

AHEAD = 64  # jobs under way in addition to one a worker: enough work while a network encodes a batch


@dataclass(frozen=True)
class Photo:
    """A file that is a photo of the collection."""

    path: str  # as in the tables
    state: list[int]  # the file's size (bytes) and modification time (ns) when it was decoded
    width: int  # px, upright, as recorded
    height: int
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # of the file; its copy's name
    pixels: str  # SHA-256 of the copy's size and pixels
    missing_rows: int = 0  # px, at the bottom of a JPEG that is cut


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is left out, and why."""

    path: str
    reason: str  # not an image | raw file | empty | too small | too large | not decodable | duplicate | excluded | unreadable
    detail: str


FOREIGN = ("not an image", "excluded", "duplicate")
"""Reasons of files that are no lost photos."""
ENDINGS = (".jpg", ".jpeg", ".png", ".heic", ".heif", ".avif", ".webp", ".tif", ".tiff", ".jxl")
"""A file that is named so should be a photo, whatever its bytes are."""


def is_lost(one: LeftOut) -> bool:
    """Whether what is left out is, by its reason or its name, a photo."""
    named = one.path.lower().endswith(ENDINGS)
    return one.reason not in FOREIGN or (one.reason == "not an image" and named)


def counted(left_out: Iterable[LeftOut]) -> str:
    """How many are left out for each reason, the most frequent first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(one.reason for one in left_out).most_common())


def why_none(left_out: list[LeftOut]) -> str:
    """Why a collection has no usable photo: the reasons, and an example."""
    first = next(iter(sorted(left_out, key=lambda one: not is_lost(one))), None)
    return f"{counted(left_out)}; for example {first.path}: {first.detail}" if first else "it is empty"


Job = tuple[str, Path]  # a file: its path as in the tables, and where it is
Result = TypeVar("Result")


def decode_file(job: Job, limits: params.Photos) -> tuple[Photo, Picture] | LeftOut:
    """The photo in a file and its pixels, no side longer than limits.max_side."""
    path, file = job
    try:
        with _open(file) as content:
            state = state_of(os.fstat(content.fileno()))
            picture = decode(read_header(content, limits), limits.max_side)
            content.seek(0)
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except Unfit as unfit:
        return LeftOut(path, *unfit.args)
    except OSError as error:
        return LeftOut(path, "unreadable", str(error.strerror))
    except ValueError as error:  # no file can have such a path
        return LeftOut(path, "unreadable", one_line(error))
    pixels = hashlib.sha256(repr(picture.rgb.size).encode() + picture.rgb.tobytes()).hexdigest()
    return Photo(path, state, picture.width, picture.height, sha256, pixels, picture.missing_rows), picture


def _open(file: Path) -> BufferedReader:
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise Unfit("not an image", "not a regular file")
    if status.st_size == 0:
        raise Unfit("empty", "0 bytes")
    return open(file, "rb")


def state_of(status: os.stat_result) -> list[int]:
    """What shows that a file has changed, without reading it: its size (bytes) and modification time (ns)."""
    return [status.st_size, status.st_mtime_ns]


def decode_all(work: Callable[[Job], Result | LeftOut], jobs: Iterable[Job], workers: int) -> Iterator[Result | LeftOut]:
    """Results of `work` on each job, in order, from `workers` processes ready to decode; few jobs are drawn ahead.

    A file that kills its process is left out, and the others go on. Raises BrokenProcessPool if no process can start.
    """
    waiting = iter(jobs)
    under_way: deque[tuple[Job, Future[Result | LeftOut]]] = deque()
    pool = None
    try:
        while True:
            for job in islice(waiting, AHEAD + workers - len(under_way)):
                pool = pool or _start_pool(workers)
                try:
                    future = pool.submit(work, job)
                except BrokenProcessPool as error:  # the pool broke at one of the jobs under way
                    future = Future()
                    future.set_exception(error)
                under_way.append((job, future))
            if not under_way:
                break
            job, future = under_way.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:  # one by one, it shows which file did it
                yield from _one_by_one(work, [job, *(other for other, _ in under_way)])
                under_way.clear()
                pool = None
    finally:  # also if the caller stops early: the program would wait for idle processes at its end
        if pool:
            pool.shutdown(kill_workers=True)


def _start_pool(workers: int) -> ProcessPoolExecutor:
    pool = process_pool(workers, prepare_process)
    pool.submit(int).result()  # if no process can start, no file is to blame
    return pool


def _one_by_one(work: Callable[[Job], Result | LeftOut], jobs: Iterable[Job]) -> Iterator[Result | LeftOut]:
    pool = _start_pool(1)
    for job in jobs:
        try:
            yield pool.submit(work, job).result()
        except BrokenProcessPool:
            yield LeftOut(job[0], "not decodable", "decoding it ended the process")
            pool = _start_pool(1)
    pool.shutdown()
