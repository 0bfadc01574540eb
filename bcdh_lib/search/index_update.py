"""Bringing an index up to date with its photos: new and changed photos are encoded, deleted ones go, moved ones keep their codes.

A photo counts as unchanged if its path, size and time of change are those of its row; a file whose bytes (SHA-256) are those of a
row takes that row's code. Every few seconds what was encoded is written as a part, so a killed update continues from there. The
photos are only read.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from tqdm.auto import tqdm

from bcdh_lib.core.codes import pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked, write_bytes, writing
from bcdh_lib.core.settings import first_fault
from bcdh_lib.core.tables import read_parquet, write_parquet
from bcdh_lib.params import Photos
from bcdh_lib.photos.folder import exclusion, path_from_table, path_in_table, walk
from bcdh_lib.photos.photo_file import LeftOut, decode_all, state_of, why_none
from bcdh_lib.search.default_network.files import default_model, default_settings, photos_in
from bcdh_lib.search.encoder import Seen, encode, read_view
from bcdh_lib.search.photo_index import ROW, Facts, PhotoIndex, open_index, publish
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.checkpoint import load_checkpoint

STATE = ["path", "size", "mtime_ns"]
"""What tells, unread, whether a file is the one that was encoded."""
READ = ROW.append(pa.field("missing_rows", pa.int64()))
PART = READ.append(pa.field("outputs", pa.binary()))
"""Photos that were encoded: how many rows of pixels a cut file lacks, and the real outputs, float32 [L]."""
PART_SECONDS = 10.0
"""How often what was encoded is written: a kill loses so many seconds of work."""
MANY, MANY_SHARE = 10, 0.1
"""An update that would drop so many rows, and this share, needs a second run or --forget-missing: a disk may not be mounted."""
PRIOR = 4
"""Weight, in photos, of the network's own thresholds in the mean of the outputs."""


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
    cut: int  # of those encoded, JPEGs used without their last rows
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
    with writing(folder, "change --index"):
        _check_places(folder, photos)
        (folder / "unfinished").mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            new = not (folder / "index.json").is_file()
            index = _create(folder, model) if new else _reopen(folder, photos, model, moved)
            try:
                limits = Photos.model_validate(index.facts.photos.model_dump() | (changes or {}))
            except ValidationError as error:
                raise StudyError(f"photos.{first_fault(error)}; change the option") from None
            limits = limits.model_copy(update={"source": "folder", "folder": path_in_table(_base(photos))})
            facts = index.facts.model_copy(update={"photos": limits, "collection": path_in_table(photos.resolve())})
            index = PhotoIndex(folder, facts, index.codes, index.centre, index.table)
            again = bool(recentre) or (new and recentre is not False)
            return _update(index, photos, again, forget_missing, workers or os.cpu_count() or 1)


def _update(index: PhotoIndex, photos: Path, again: bool, forget_missing: bool, workers: int) -> Update:
    """again: all photos are encoded, and the thresholds become their mean."""
    before = index.photos().assign(row=lambda table: np.arange(len(table)))
    found, left_out = _find(photos, index.facts.photos.exclude)
    here = found.merge(before, "left", STATE)
    if not again:
        _recognise(here, before, _base(photos))
    absent = before[~before["path"].isin(found["path"]) & ~before["row"].isin(here["row"])]
    unreadable, missing = (absent.iloc[:0],) * 2 if forget_missing else _absent_to_keep(absent, left_out, index)
    if again and len(unreadable) + len(missing):
        raise StudyError(
            f"{photos}: {len(unreadable) + len(missing):,} photos of the index cannot be read now, and all are to be encoded "
            "again; make them readable, or drop them with --forget-missing"
        )
    unencoded, same = here.loc[here["row"].isna() | again, STATE], here[here["row"].notna() & (not again)]
    encoded, outputs, faults = _encode(index, _base(photos), unencoded, workers)
    left_out = sorted([*left_out, *faults], key=lambda one: one.path)
    rows = pd.concat([unreadable, missing, same, encoded]).sort_values("path", ignore_index=True)
    if rows.empty:
        raise StudyError(f"{photos}: holds no usable photo ({why_none(left_out)}); name a folder with photos in it")
    facts, centre = index.facts.model_copy(update={"missing": len(missing)}), index.centre
    if again:
        mean = outputs[encoded["place"].to_numpy()].mean(0, dtype=np.float64).astype(np.float32)
        centre = mean * np.float32(len(encoded) / (len(encoded) + PRIOR))
        facts = facts.model_copy(update={"centred_on": len(encoded)})
    old, codes = rows["row"].notna().to_numpy(), np.empty((len(rows), len(centre) // 8), np.uint8)
    codes[old] = index.codes[rows.loc[old, "row"].to_numpy(np.int64)]
    codes[~old] = pack(outputs - centre)[rows.loc[~old, "place"].to_numpy(np.int64)]
    publish(index.folder, facts, rows[ROW.names], codes, centre, left_out)
    changed = int(encoded["path"].isin(before["path"]).sum())
    return Update(
        photos=len(rows),
        new=len(encoded) - changed,
        changed=changed,
        moved=int((~same["path"].isin(before["path"])).sum()),
        gone=int((~before["path"].isin(rows["path"]) & ~before["row"].isin(same["row"])).sum()),
        unreadable=len(unreadable),
        missing=len(missing),
        cut=int((encoded["missing_rows"] > 0).sum()),
        centred_on=facts.centred_on,
        left_out=left_out,
    )


def _check_places(folder: Path, photos: Path) -> None:
    if not photos.exists():
        raise StudyError(f"{photos}: does not exist; name the folder of your photos")
    if not photos.is_dir() and photos.suffix.lower() != ".txt":
        raise StudyError(f"{photos}: is neither a folder nor a list of photos (.txt); name the folder of your photos")
    if folder.resolve().is_relative_to(photos.resolve()):
        raise StudyError(f"{folder}: is inside the folder of photos, which is only read; name another place with --index")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder}: is a file; name another place with --index")
    known = (folder / "index.json").is_file() or (folder / "unfinished").is_dir()
    if not known and any(folder.glob("*")):
        raise StudyError(f"{folder}: holds {min(folder.glob('*')).name} and is no index; name another place with --index")


def _base(photos: Path) -> Path:
    """What the rows' paths are relative to: the folder itself, or the list's folder."""
    return photos.resolve() if photos.is_dir() else photos.resolve().parent


def _create(folder: Path, model: Path | None) -> PhotoIndex:
    """A new index without rows, the model copied into it."""
    model = model or default_model()
    bits, sha256 = _coder(model)
    for ending in (".json", ".safetensors"):
        write_bytes(folder / f"model{ending}", model.with_suffix(ending).read_bytes())
    facts = Facts(model=sha256, photos=_photo_settings(model))
    return PhotoIndex(folder, facts, np.empty((0, bits // 8), np.uint8), np.zeros(bits, np.float32))


def _coder(model: Path) -> tuple[int, str]:
    """Code length and SHA-256 of a checkpoint that gives codes. Raises StudyError."""
    network, facts = load_checkpoint(model)
    if network.bits is None:
        raise StudyError(f"{model}: gives real vectors, no codes; name a model that has bits with --model")
    return network.bits, str(facts["sha256"])


def _photo_settings(model: Path) -> Photos:
    """The settings `photos` of the checkpoint, or of the study around it, or of the default network."""
    if limits := photos_in(model):
        return limits
    try:
        root = find_root(model.parent)
    except StudyError:
        return default_settings().photos
    return open_study(root=root).params.photos


def _reopen(folder: Path, photos: Path, model: Path | None, moved: bool) -> PhotoIndex:
    """The existing index. Raises StudyError if it is of other photos or another model than is wanted now."""
    index = open_index(folder)
    if model and _coder(model)[1] != index.facts.model:
        raise StudyError(f"{folder}: its codes are those of another model; name another place with --index")
    if not moved and index.facts.collection != path_in_table(photos.resolve()):
        known = index.facts.collection
        raise StudyError(f"{folder}: is the index of {known}; add --moved if these are the same photos, else --index ANOTHER")
    return index


def _find(photos: Path, exclude: Sequence[str]) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The files there are now, as STATE, sorted by path, and what was left out on the way."""
    left_out: list[LeftOut] = []
    states: dict[str, list[int]] = {}
    for one in walk(photos, exclude) if photos.is_dir() else _listed(photos, exclude):
        if isinstance(one, LeftOut):
            left_out.append(one)
            continue
        try:
            states[one[0]] = state_of(os.stat(one[1]))
        except OSError as error:
            left_out.append(LeftOut(one[0], "unreadable", str(error.strerror)))
    rows = [(path, *states[path]) for path in sorted(states)]
    return pd.DataFrame(rows, columns=STATE).astype({"path": "str", "size": np.int64, "mtime_ns": np.int64}), left_out


def _listed(photos: Path, exclude: Sequence[str]) -> Iterator[tuple[str, Path] | LeftOut]:
    excluded = exclusion(exclude)
    for line in read_list(photos):
        file = Path(os.path.normpath(_base(photos) / line))
        name = file.relative_to(_base(photos)) if file.is_relative_to(_base(photos)) else file
        if excluded.match_file(name):
            yield LeftOut(path_in_table(name), "excluded", "file of a list")
        else:
            yield path_in_table(name), file


def read_list(file: Path) -> list[str]:
    """The paths in a list: one a line, or separated by NUL bytes; in UTF-16 with a byte order mark too. Raises StudyError."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StudyError(f"{file}: cannot be read ({error.strerror}); name a list that can") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = os.fsencode(content.decode("utf-16", "replace"))
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\0") if b"\0" in content else content.split(b"\n")
    return [os.fsdecode(path) for line in lines if (path := line.strip(b"\r\n"))]


def _recognise(here: pd.DataFrame, before: pd.DataFrame, base: Path) -> None:
    """Give files that are new by their path the row of equal bytes, if there is one; only files of a row's size are read."""
    unknown = here[here["row"].isna() & here["size"].isin(before["size"])]
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_sha256, (base / path_from_table(path) for path in unknown["path"])))
    here.loc[unknown.index, "row"] = before.drop_duplicates("sha256").set_index("sha256")["row"].reindex(digests).to_numpy()
    here.loc[unknown.index, "sha256"] = digests


def _sha256(file: Path) -> str:
    with suppress(OSError), open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
    return ""


def _absent_to_keep(absent: pd.DataFrame, left_out: list[LeftOut], index: PhotoIndex) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows without a file that stay: those below what cannot be read, and those that are missing, if they are many and more
    than at the last update."""
    barred = {one.path for one in left_out if one.reason == "unreadable"}
    given_up = {one.path for one in left_out} - barred

    def below(places: set[str]) -> NDArray[np.bool_]:
        inside = [not places.isdisjoint([path, *map(str, PurePosixPath(path).parents)]) for path in absent["path"]]
        return np.array(inside, dtype=bool)

    unreadable = below(barred)
    missing = ~unreadable & ~below(given_up)
    lost = missing.sum()
    if lost < MANY or lost <= MANY_SHARE * len(index.codes) or lost <= index.facts.missing:
        missing[:] = False
    return absent[unreadable], absent[missing]


def _encode(
    index: PhotoIndex, base: Path, wanted: pd.DataFrame, workers: int
) -> tuple[pd.DataFrame, NDArray[np.float32], list[LeftOut]]:
    """The files of `wanted` (STATE) as rows, with their `place` in the outputs [m, L]; and what is left out.

    Parts are in unfinished/KEY; they belong to one model and one way of reading photos. Those of another one go.
    """
    key = hashlib.sha256(f"{index.facts.model} {index.facts.photos.max_side}".encode()).hexdigest()[:16]
    folder = index.folder / "unfinished" / key
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    there = wanted.merge(_read_parts(folder, len(index.centre))[0], on=STATE)
    todo = wanted.loc[~wanted["path"].isin(there["path"]), "path"]
    faults: list[LeftOut] = []
    if len(todo):
        faults = _encode_files(index, [(path, base / path_from_table(path)) for path in todo], folder, workers)
    rows, outputs = _read_parts(folder, len(index.centre))
    # A file that was changed since it was found has the state that it had when it was read.
    fresh = rows[rows["path"].isin(set(todo) - {one.path for one in faults})].drop_duplicates("path", keep="last")
    return pd.concat([rows[rows["place"].isin(there["place"])], fresh]).sort_values("path"), outputs, faults


def _encode_files(index: PhotoIndex, jobs: list[tuple[str, Path]], folder: Path, workers: int) -> list[LeftOut]:
    """Encode files and write parts of them; what is left out."""
    seen = partial(read_view, limits=index.facts.photos, side=index.network.settings.side)
    faults: list[LeftOut] = []
    waiting: list[Seen] = []
    written = time.monotonic()
    with tqdm(desc="photos", unit="photo", total=len(jobs)) as bar:
        for some in encode(index.network, decode_all(seen, jobs, workers)):
            bar.update(len(some))
            waiting += [one for one in some if isinstance(one, Seen)]
            faults += [one for one in some if isinstance(one, LeftOut)]
            if waiting and time.monotonic() - written >= PART_SECONDS:
                write_part(folder, waiting)
                waiting, written = [], time.monotonic()
    if waiting:
        write_part(folder, waiting)
    return faults


def write_part(folder: Path, encoded: Sequence[Seen]) -> None:
    """Write photos with their outputs, atomically."""
    rows = [(one.photo.path, *one.photo.state, one.photo.sha256, one.photo.missing_rows, one.values.tobytes()) for one in encoded]
    write_parquet(folder / f"{len(list(folder.glob('*.parquet'))):08}.parquet", pd.DataFrame(rows, columns=PART.names), PART)


def _read_parts(folder: Path, bits: int) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """The photos of all parts, as READ with their `place` in the outputs [m, L]; the last of equal states alone."""
    rows, outputs = [READ.empty_table().to_pandas()], [np.empty((0, bits), np.float32)]
    for file in sorted(folder.glob("*.parquet")):
        with suppress(pa.ArrowException, ValueError):  # a part broken on disk: its photos are encoded again
            part = read_parquet(file).cast(PART)
            values = np.frombuffer(b"".join(part["outputs"].to_pylist()), np.float32).reshape(len(part), bits)
            rows.append(part.select(READ.names).to_pandas())
            outputs.append(values)
    table = pd.concat(rows, ignore_index=True)
    return table.assign(place=np.arange(len(table))).drop_duplicates(STATE, keep="last"), np.concatenate(outputs)
