"""A folder of anybody's photos: each file is taken in as an upright RGB copy, or left out and counted with the reason.

The photos themselves are only ever read. What becomes of which format is written in decoding.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

import pandas as pd
from joblib.externals.loky import ProcessPoolExecutor
from pydantic import Field, TypeAdapter
from tqdm import tqdm

from bcdh_lib import params
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import process_pool
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.photos.decoding import Picture, Unfit, decode, prepare_process, read_header
from bcdh_lib.study import Study

AHEAD = 64  # files that are under way at once, beside one a worker: more than are waited for while a network encodes a batch


@dataclass(frozen=True)
class Photo:
    """A file that became a photo of the study."""

    path: str  # as in the tables
    state: list[int]  # the file's size (bytes) and time of change (ns) when it was taken in
    width: int  # px, upright, as taken
    height: int
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # of the file; its copy's name
    pixels: str  # SHA-256 of the copy's size and pixels


NOTED = TypeAdapter(Photo)
"""A photo as a killed run noted it, to be read back."""


@dataclass(frozen=True)
class LeftOut:
    """A file that did not, and why."""

    path: str
    reason: str  # not an image | empty | too small | too large | not decodable | duplicate | unreadable
    detail: str


Job = tuple[str, Path]  # a file: its path as in the tables, and where it lies
Taken = TypeVar("Taken")  # what becomes of a file that is not left out


def locate(study: Study) -> Path:
    """The folder that photos.folder names, relative to the study's root where it is not absolute.

    Raises StudyError where it is no folder, or lies inside the study's own data.
    """
    folder = study.root / Path(study.params.photos.folder or "").expanduser()
    if not folder.exists():
        raise StudyError(f"photos.folder: {folder} is not there; set photos.folder in params.yaml to your photos' folder")
    if not folder.is_dir():
        raise StudyError(f"photos.folder: {folder} is a file; set photos.folder in params.yaml to the folder around it")
    for own in ("data", "work"):
        if folder.resolve().is_relative_to((study.root / own).resolve()):
            raise StudyError(
                f"photos.folder: {folder} lies in the study's own {own}/, which it overwrites; move your photos elsewhere"
            )
    return folder


def take_in(study: Study, folder: Path) -> None:
    """The photos stage: every file of `folder`, at any depth, becomes a photo or is left out; both are written to study.photos.

    Photos are numbered in the order of their paths; of equal files, and of files with equal pixels, the first is kept. A killed
    run goes on from its finished photos. Raises StudyError where no file is a usable photo.
    """
    files, left_out = find_files(folder)
    here = study.unfinished("photos", (study.params.photos, os.path.abspath(folder)), [], __name__)
    outcomes = _outcomes(files, study, here)
    photos = [one for one in outcomes if isinstance(one, Photo)]
    left_out += [one for one in outcomes if isinstance(one, LeftOut)]
    photos, duplicates = _distinct(photos)
    left_out += duplicates
    if not photos:
        counts = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in left_out).most_common())
        raise StudyError(
            f"photos.folder: {folder} holds no usable photo ({counts or 'it is empty'}); "
            "set photos.folder in params.yaml to a folder with photos in it"
        )
    _publish(study, here, photos, left_out)
    study.forget("photos")


def path_in_table(path: Path) -> str:
    """A path as one line of valid Unicode, a different one for each path.

    A backslash is doubled, a newline becomes \\n and a byte that is not UTF-8 \\xNN; all else stays as it is.
    """
    return os.fsencode(path.as_posix()).replace(b"\\", rb"\\").replace(b"\n", rb"\n").decode("utf-8", "backslashreplace")


def path_from_table(written: str) -> Path:
    """The path that `path_in_table` wrote."""

    def byte(found: re.Match[bytes]) -> bytes:
        return {b"\\": b"\\", b"n": b"\n"}.get(found[1]) or bytes.fromhex(found[1][1:].decode())

    return Path(os.fsdecode(re.sub(rb"\\(\\|n|x[0-9a-f]{2})", byte, written.encode())))


def find_files(folder: Path) -> tuple[dict[str, Path], list[LeftOut]]:
    """Every file under `folder` by its path in the tables, sorted; and the folders that could not be entered or came again."""
    found = list(walk(folder))
    files = dict(sorted(one for one in found if not isinstance(one, LeftOut)))
    return files, [one for one in found if isinstance(one, LeftOut)]


def walk(folder: Path) -> Iterator[Job | LeftOut]:
    """What `find_files` finds, as it comes; no more of it is held than the names in one folder."""
    barred: list[LeftOut] = []
    seen: set[str] = set()

    def name(path: str) -> str:
        return path_in_table(Path(path).relative_to(folder))

    def unreadable(error: OSError) -> None:
        barred.append(LeftOut(name(error.filename), "unreadable", f"folder: {error.strerror}"))

    for inside, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        if os.path.realpath(inside) in seen:  # a link to a folder that is walked anyway, perhaps to one that holds the link
            yield LeftOut(name(inside), "duplicate", "link to a folder that was already walked")
            folders.clear()
            continue
        seen.add(os.path.realpath(inside))
        folders.sort(key=lambda one: (os.path.islink(os.path.join(inside, one)), one))
        yield from ((name(os.path.join(inside, one)), Path(inside, one)) for one in names)
    yield from barred


def _outcomes(files: dict[str, Path], study: Study, here: Path) -> list[Photo | LeftOut]:
    """What becomes of each file, in order; `here`/finished.jsonl notes the finished photos, `here`/copies holds their copies."""
    copies = here / "copies"
    copies.mkdir(exist_ok=True)
    outcomes: dict[str, Photo | LeftOut] = dict(_finished(here / "finished.jsonl", files, copies))
    jobs = [(path, file) for path, file in files.items() if path not in outcomes]
    taken = partial(take, limits=study.params.photos, copies=copies)
    with (
        open(here / "finished.jsonl", "a", encoding="utf-8") as notes,
        tqdm(desc="photos", unit="photo", total=len(files), initial=len(outcomes)) as bar,
    ):
        for outcome in in_processes(taken, jobs, study.params.run.threads):
            if isinstance(outcome, Photo):
                notes.write(json.dumps(asdict(outcome)) + "\n")
                notes.flush()
            outcomes[outcome.path] = outcome
            bar.update()
    return [outcomes[path] for path in files]


def _finished(notes: Path, files: dict[str, Path], copies: Path) -> dict[str, Photo]:
    """The photos that an earlier, killed run noted as finished and whose files have not changed since."""
    finished = {}
    for line in notes.read_bytes().splitlines() if notes.exists() else []:
        with contextlib.suppress(ValueError, KeyError, OSError):  # a line cut by the kill; a file gone since
            photo = NOTED.validate_json(line, strict=True)
            if photo.state == state_of(os.stat(files[photo.path])) and (copies / photo.sha256).exists():
                finished[photo.path] = photo
    return finished


def in_processes(take: Callable[[Job], Taken | LeftOut], jobs: Iterable[Job], workers: int) -> Iterator[Taken | LeftOut]:
    """The outcomes of the jobs, in order; the processes go on with the next while one is used.

    A file that kills the process that decodes it is left out, and the others go on.
    """
    waiting = iter(jobs)
    under_way: deque[tuple[Job, Future[Taken | LeftOut]]] = deque()
    pool = None
    try:
        while True:
            for job in islice(waiting, AHEAD + workers - len(under_way)):
                pool = pool or _pool(workers)
                under_way.append((job, _submitted(pool, take, job)))
            if not under_way:
                break
            job, future = under_way.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:  # whose fault it was shows when they are taken one by one
                yield from _one_by_one(take, [job, *(other for other, _ in under_way)])
                under_way.clear()
                pool = None
    finally:  # where the caller gives up too: idle processes would be waited for at the end of the program
        if pool:
            pool.shutdown(kill_workers=True)


def _submitted(pool: ProcessPoolExecutor, take: Callable[[Job], Taken | LeftOut], job: Job) -> Future[Taken | LeftOut]:
    """The job's future; where the pool has broken by now, one that says so, as those before it do."""
    future: Future[Taken | LeftOut] = Future()
    try:
        future = pool.submit(take, job)
    except BrokenProcessPool as error:
        future.set_exception(error)
    return future


def _one_by_one(take: Callable[[Job], Taken | LeftOut], jobs: list[Job]) -> Iterator[Taken | LeftOut]:
    pool = _pool(1)
    for job in jobs:
        try:
            yield pool.submit(take, job).result()
        except BrokenProcessPool:
            yield LeftOut(job[0], "not decodable", "decoding it ended the process")
            pool = _pool(1)
    pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    pool = process_pool(workers, prepare_process)
    pool.submit(int).result()  # where no process can even start, no file is to blame: stop here
    return pool


def take(job: Job, limits: params.Photos, copies: Path) -> Photo | LeftOut:
    """Decode one file, and write its copy as `copies`/<SHA-256 of the file>."""
    outcome = decode_file(job, limits)
    if isinstance(outcome, LeftOut):
        return outcome
    photo, picture = outcome
    part = copies / f"{photo.sha256}.{os.getpid()}.part"
    if picture.as_in_file:
        shutil.copyfile(job[1], part)
    else:
        picture.save(part)
    os.replace(part, copies / photo.sha256)
    return photo


def decode_file(job: Job, limits: params.Photos) -> tuple[Photo, Picture] | LeftOut:
    """What one file shows, and what is noted of it."""
    path, file = job
    try:
        with _opened(path, file) as content:
            state = state_of(os.fstat(content.fileno()))
            picture = decode(read_header(content, limits), limits.max_side)
            content.seek(0)
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except Unfit as unfit:
        return LeftOut(path, *unfit.args)
    except OSError as error:
        return LeftOut(path, "unreadable", str(error.strerror))
    pixels = hashlib.sha256(repr(picture.rgb.size).encode() + picture.rgb.tobytes()).hexdigest()
    return Photo(path, state, picture.width, picture.height, sha256, pixels), picture


def _opened(path: str, file: Path) -> BufferedReader:
    if any(part.startswith(".") for part in Path(path).parts):
        raise Unfit("not an image", "hidden file")
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise Unfit("not an image", "not a regular file")
    if status.st_size == 0:
        raise Unfit("empty", "0 bytes")
    return open(file, "rb")


def state_of(status: os.stat_result) -> list[int]:
    """What tells, unread, that a file has changed: its size (bytes) and time of change (ns)."""
    return [status.st_size, status.st_mtime_ns]


def _distinct(photos: list[Photo]) -> tuple[list[Photo], list[LeftOut]]:
    """The photos, the first of equal ones only, and the others as duplicates."""
    first: dict[str, str] = {}
    distinct, duplicates = [], []
    for photo in photos:
        if photo.sha256 in first:
            duplicates.append(LeftOut(photo.path, "duplicate", f"same file as {first[photo.sha256]}"))
        elif photo.pixels in first:
            duplicates.append(LeftOut(photo.path, "duplicate", f"same pixels as {first[photo.pixels]}"))
        else:
            distinct.append(photo)
            first |= {photo.sha256: photo.path, photo.pixels: photo.path}
    return distinct, duplicates


def _publish(study: Study, here: Path, photos: list[Photo], left_out: list[LeftOut]) -> None:
    """Number the copies, write the tables, and put all of it in the place of what was there, by one rename."""
    new = here / "photos"
    shutil.rmtree(new, ignore_errors=True)
    (new / "images").mkdir(parents=True)
    for photo_id, photo in enumerate(photos):
        os.rename(here / "copies" / photo.sha256, new / "images" / study.image(photo_id).name)
    rows = pd.DataFrame([asdict(photo) for photo in photos]).drop(columns=["state", "pixels"])
    write_table(new, "photos", rows.assign(photo_id=range(len(photos)), source=study.params.photos.source))
    write_table(new, "left_out", pd.DataFrame(left_out, columns=list(TABLES["left_out"].columns)))
    shutil.rmtree(study.photos, ignore_errors=True)
    study.photos.parent.mkdir(parents=True, exist_ok=True)
    os.replace(new, study.photos)
