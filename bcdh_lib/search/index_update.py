"""Bringing an index up to date with its photos: new and changed photos are encoded, deleted ones go, moved ones keep their codes.

A photo counts as unchanged if its path, size and time of change are those of its row; a file whose bytes (SHA-256) are those of a
row takes that row's code. Every few seconds what was encoded is written as a part, so a killed update goes on from there. The
photos are only read.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from tqdm.auto import tqdm

from bcdh_lib.core.code import LIBRARY
from bcdh_lib.core.codes import Codes
from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import locked, write_bytes
from bcdh_lib.core.settings import first_fault
from bcdh_lib.params import Photos
from bcdh_lib.photos.folder import path_from_table, path_in_table, walk
from bcdh_lib.photos.photo_file import LeftOut, decode_all, state_of
from bcdh_lib.search.default_network.files import default_model, photos_in
from bcdh_lib.search.encoder import Seen, encode, read_view
from bcdh_lib.search.parts import STATE, Parts
from bcdh_lib.search.photo_index import ROW, Facts, PhotoIndex, Rows, open_index, publish
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.checkpoint import load_checkpoint

OWN = {"index.json", "model.safetensors", "model.json", "left_out.csv", "lock", "unfinished"}
PART_SECONDS = 10.0
"""How often what was encoded is written: a kill loses so many seconds of work."""
MANY, MANY_SHARE = 10, 0.1
"""Rows that go at once, and their share of the index, from which an update asks first: the disk may just not be mounted."""
PRIOR = 4
"""Weight, in photos, of the network's own thresholds in the mean of the outputs."""
FRAME = 1 << 16


@dataclass(frozen=True)
class Update:
    """What an update did."""

    photos: int  # in the index now
    new: int  # encoded
    changed: int  # encoded again
    moved: int  # found again under another path, not encoded
    gone: int  # rows dropped
    unreadable: int  # rows kept: their folder cannot be read now
    missing: int  # rows kept this time: so many are not there that their disk may be missing
    centred_on: int  # photos whose mean gave the bits' thresholds
    left_out: list[LeftOut]


def update_index(
    folder: Path,
    photos: Path,
    model: Path | None = None,
    *,
    recentre: bool | None = None,
    changes: dict[str, object] | None = None,
    moved: bool = False,
    forget_missing: bool = False,
    workers: int | None = None,
) -> Update:
    """Make the index in `folder` of `photos`, or bring it up to date.

    photos: a folder with all below it, or a list (.txt) of paths, relative to the list. model: a checkpoint; for a new index the
    default network if None. recentre: for a new index whether the thresholds are the mean outputs of its photos (yes if None);
    for an existing one True encodes all again about the new mean, else its thresholds stay. changes: settings of `photos` laid
    over those of the index (exclude, max_megapixels, min_side). moved: the collection is the same, in another place.
    forget_missing: drop rows without photos at once, however many.
    Raises StudyError, also if another process writes the index.
    """
    _check_places(folder, photos)
    with writing(folder, "--index"):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            new = not (folder / "index.json").is_file()
            index = _create(folder, photos, model) if new else _reopen(folder, photos, model, moved)
            limits = _with_changes(index.facts.photos, changes or {})
            index = PhotoIndex(folder, index.facts.model_copy(update={"photos": limits}), index.rows)
            again = bool(recentre) or (new and recentre is not False)
            return _update(index, photos, again, forget_missing, workers or os.cpu_count() or 1)


def _with_changes(limits: Photos, changes: dict[str, object]) -> Photos:
    try:
        return Photos.model_validate(limits.model_dump() | changes)
    except ValidationError as error:
        raise StudyError(f"photos.{first_fault(error)}; change the option") from None


def _update(index: PhotoIndex, photos: Path, again: bool, forget_missing: bool, workers: int) -> Update:
    """again: all photos are encoded, and the thresholds become their mean."""
    before = index.rows.photos().assign(row=lambda table: np.arange(len(table)))
    found, left_out = _find(photos, index.facts.photos)
    absent = before[~before["path"].isin(found["path"])]
    here = found.merge(before, "left", STATE)
    if not again:
        here = _recognise(here, before, photos)
    absent = absent[~absent["row"].isin(here["row"])]  # moved rows are not absent
    kept, missing, unreadable = _absent_to_keep(absent, left_out, len(before), index.facts.missing, forget_missing)
    if again and len(kept):
        raise StudyError(
            f"{photos}: {len(kept):,} photos of the index cannot be read now, and all are to be encoded again; "
            "make them readable, or drop them with --forget-missing"
        )
    parts = Parts(index)
    unencoded = here[here["row"].isna() | again]
    outcomes = list(_encode(index, photos, unencoded[STATE], parts, workers))
    encoded = unencoded[STATE].merge(parts.table, on=STATE)
    rows = pd.concat([kept, here[here["row"].notna() & (not again)], encoded]).sort_values("path", ignore_index=True)
    left_out += outcomes
    if rows.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in left_out).most_common())
        raise StudyError(f"{photos}: holds no usable photo ({reasons or 'it is empty'}); name a folder with photos in it")
    facts, centre = index.facts.model_copy(update={"missing": missing}), index.rows.centre
    if again:
        centre = parts.mean(encoded["place"].to_numpy()) * np.float32(len(encoded) / (len(encoded) + PRIOR))
        facts = facts.model_copy(update={"centred_on": len(encoded)})
    codes = _codes(rows, index.rows.codes, parts, centre)
    publish(index.folder, facts, rows[ROW.names], codes, centre, sorted(left_out, key=lambda one: one.path))
    changed = int(encoded["path"].isin(before["path"]).sum())
    reused = here["row"].notna() & ~here["path"].isin(before["path"]) & (not again)
    gone = len(before) - int(rows["path"].isin(before["path"]).sum()) - int(before["row"].isin(here.loc[reused, "row"]).sum())
    return Update(
        photos=len(rows),
        new=len(encoded) - changed,
        changed=changed,
        moved=int(reused.sum()),
        gone=max(0, gone),
        unreadable=unreadable,
        missing=missing,
        centred_on=facts.centred_on,
        left_out=sorted(left_out, key=lambda one: one.path),
    )


@contextmanager
def writing(folder: Path, option: str) -> Iterator[None]:
    """Turn what the system says about writing (no room, no right) into one line. Files being read are handled elsewhere."""
    try:
        yield
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise StudyError(f"{error.filename or folder}: cannot be written ({reason}); make room, or change {option}") from None


def _check_places(folder: Path, photos: Path) -> None:
    if not photos.exists():
        raise StudyError(f"{photos}: does not exist; name the folder of your photos")
    if not photos.is_dir() and photos.suffix != ".txt":
        raise StudyError(f"{photos}: is neither a folder nor a list of photos (.txt); name the folder of your photos")
    if folder.resolve().is_relative_to(photos.resolve()):
        raise StudyError(f"{folder}: lies among the photos, which are only read; name another place with --index")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder}: is a file; name another place with --index")
    others = {path.name for path in folder.glob("*") if path.name.removesuffix(".part") not in OWN}
    if (folder / "unfinished").is_dir():  # a first update, killed when its rows were there and index.json did not name them yet
        others = {name for name in others if not re.fullmatch("[0-9a-f]{16}", name)}
    if others and not (folder / "index.json").is_file():
        raise StudyError(f"{folder}: holds {min(others)} and is no index; name another place with --index")


def checked_digest(model: Path) -> str:
    """The SHA-256 of a checkpoint that gives codes. Raises StudyError."""
    network, facts = load_checkpoint(model)
    if network.bits is None:
        raise StudyError(f"{model}: gives real vectors, no codes; name a model that has bits with --model")
    return str(facts["sha256"])


def _create(folder: Path, photos: Path, model: Path | None) -> PhotoIndex:
    """A new index without rows, the model copied into it."""
    model = model or default_model()
    sha256, limits = checked_digest(model), _photo_settings(model)
    for ending in (".json", ".safetensors"):
        write_bytes(folder / f"model{ending}", model.with_suffix(ending).read_bytes())
    limits = limits.model_copy(update={"source": "folder", "folder": path_in_table(_collection_folder(photos))})
    facts = Facts(model=sha256, photos=limits, listed_in=None if photos.is_dir() else path_in_table(Path(photos.name)))
    bits = load_checkpoint(model)[0].bits or 0
    return PhotoIndex(folder, facts, Rows(np.empty((0, bits // 8), np.uint8), np.zeros(bits, np.float32)))


def _photo_settings(model: Path) -> Photos:
    """The settings `photos` of the checkpoint, or of the study around it or this library, or of the default network."""
    if limits := photos_in(model):
        return limits
    for place in (model.parent, LIBRARY.parent):
        try:
            root = find_root(place)
        except StudyError:
            continue
        return open_study(root=root).params.photos
    limits = photos_in(default_model())
    assert limits is not None
    return limits


def _reopen(folder: Path, photos: Path, model: Path | None, moved: bool) -> PhotoIndex:
    """The existing index. Raises StudyError if it is of other photos or another model than is wanted now."""
    index = open_index(folder)
    if model and checked_digest(model) != index.facts.model:
        raise StudyError(f"{folder}: its codes are those of another model; name another place with --index")
    own = posixpath.join(index.facts.photos.folder or "", index.facts.listed_in or "").removesuffix("/")
    if own == path_in_table(photos.resolve()):
        return index
    if not moved:
        raise StudyError(f"{folder}: is the index of {own}; add --moved if these are the same photos, else --index ANOTHER")
    limits = index.facts.photos.model_copy(update={"folder": path_in_table(_collection_folder(photos))})
    listed = None if photos.is_dir() else path_in_table(Path(photos.name))
    return PhotoIndex(folder, index.facts.model_copy(update={"photos": limits, "listed_in": listed}), index.rows)


def _collection_folder(photos: Path) -> Path:
    """The folder itself, or the one that the list lies in."""
    return photos.resolve() if photos.is_dir() else photos.resolve().parent


def _find(photos: Path, limits: Photos) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The files there are now, as STATE, sorted by path, and what was left out on the way."""
    left_out: list[LeftOut] = []

    def states() -> Iterator[tuple[str, int, int]]:
        for one in _walk(photos, limits):
            if isinstance(one, LeftOut):
                left_out.append(one)
                continue
            try:
                size, mtime_ns = state_of(os.stat(one[1]))
                yield one[0], size, mtime_ns
            except OSError as error:
                left_out.append(LeftOut(one[0], "unreadable", str(error.strerror)))

    rows, frames = states(), [ROW.empty_table().to_pandas()[STATE]]
    while some := list(islice(rows, FRAME)):
        frames.append(pd.DataFrame(some, columns=STATE))
    found = pd.concat(frames, ignore_index=True).drop_duplicates("path").sort_values("path", ignore_index=True)
    return found, left_out


def _walk(photos: Path, limits: Photos) -> Iterator[tuple[str, Path] | LeftOut]:
    if photos.is_dir():
        yield from walk(photos, limits.exclude)
        return
    folder = photos.resolve().parent
    for line in read_list(photos):
        file = Path(os.path.normpath(folder / line))
        yield path_in_table(file.relative_to(folder) if file.is_relative_to(folder) else file), file


def read_list(file: Path) -> list[str]:
    """The paths in a list: one a line, or separated by NUL bytes; UTF-16 with a byte order mark is read too."""
    content = file.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = os.fsencode(content.decode("utf-16", "replace"))
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\0") if b"\0" in content else content.split(b"\n")
    return [os.fsdecode(path) for line in lines if (path := line.strip(b"\r\n"))]


def _recognise(here: pd.DataFrame, before: pd.DataFrame, photos: Path) -> pd.DataFrame:
    """Give files that are new by their path the row of equal bytes, if there is one; only files of a row's size are read."""
    unknown = here[here["row"].isna() & here["size"].isin(before["size"])]
    base = _collection_folder(photos)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_sha256, (base / path_from_table(path) for path in unknown["path"])))
    row = before.drop_duplicates("sha256").set_index("sha256")["row"].reindex(digests).to_numpy()
    here.loc[unknown.index, "row"] = row
    here.loc[unknown.index, "sha256"] = digests
    return here


def _sha256(file: Path) -> str:
    try:
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""


def _absent_to_keep(
    absent: pd.DataFrame, left_out: list[LeftOut], count: int, missing_before: int, forget: bool
) -> tuple[pd.DataFrame, int, int]:
    """The rows without a file that stay, how many of them are missing, and how many are below what cannot be read.

    missing_before: rows that the last update found missing and kept; if no more are missing now, they go.
    """
    if forget or absent.empty:
        return absent.iloc[:0], 0, 0
    barred = {one.path for one in left_out if one.reason == "unreadable"}
    given_up = {one.path for one in left_out} - barred
    unreadable, chosen = (absent["path"].map(partial(_at_or_below, places=places)).astype(bool) for places in (barred, given_up))
    missing = ~unreadable & ~chosen
    lost = int(missing.sum())
    if lost < MANY or lost <= MANY_SHARE * count or lost <= missing_before:
        missing, lost = missing & False, 0
    return absent[unreadable | missing], lost, int(unreadable.sum())


def _at_or_below(path: str, places: set[str]) -> bool:
    ends = [place for place, each in enumerate(path) if each == "/"]
    return "." in places or path in places or any(path[:end] in places for end in ends)


def _encode(index: PhotoIndex, photos: Path, wanted: pd.DataFrame, parts: Parts, workers: int) -> Iterator[LeftOut]:
    """Encode the files of `wanted` that are in no part, and write parts; gives what is left out."""
    todo = wanted.merge(parts.table[STATE], "left", STATE, indicator=True)
    todo = todo.loc[todo["_merge"] == "left_only", "path"]
    if todo.empty:
        return
    base = _collection_folder(photos)
    jobs = ((path, base / path_from_table(path)) for path in todo)
    seen = partial(read_view, limits=index.facts.photos, side=index.network.settings.side)
    waiting: list[Seen] = []
    written = time.monotonic()
    with tqdm(desc="photos", unit="photo", total=len(todo)) as bar:
        for some in encode(index.network, decode_all(seen, jobs, workers)):
            bar.update(len(some))
            waiting += [one for one in some if isinstance(one, Seen)]
            yield from (one for one in some if isinstance(one, LeftOut))
            if waiting and time.monotonic() - written >= PART_SECONDS:
                parts.write(waiting)
                waiting, written = [], time.monotonic()
    if waiting:
        parts.write(waiting)


def _codes(rows: pd.DataFrame, before: Codes, parts: Parts, centre: NDArray[np.float32]) -> Codes:
    """The codes [n, L/8] of the rows: those of the index (column row), or made of the parts' outputs (column place)."""
    codes = np.empty((len(rows), parts.bits // 8), np.uint8)
    old = rows["row"].notna().to_numpy()
    codes[old] = before[rows.loc[old, "row"].to_numpy(np.int64)]
    if not old.all():
        codes[~old] = parts.codes(centre)[rows.loc[~old, "place"].to_numpy(np.int64)]
    return codes
