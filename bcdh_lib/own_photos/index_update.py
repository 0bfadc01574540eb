"""Bringing an index up to date with its folder of photos: the new, the changed and the deleted ones, and no other.

A photo is taken for unchanged where its path, size and time of change are those of its row. One process writes at a time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from tqdm import tqdm

from bcdh_lib.lock import locked
from bcdh_lib.network import load_checkpoint
from bcdh_lib.own_photos.encoder import Encoded
from bcdh_lib.own_photos.photo_index import OWN, ROW, Facts, PhotoIndex, PhotoIndexError, Rows, open_index, publish
from bcdh_lib.own_photos.recentring import centre_of, pack_around
from bcdh_lib.params import Photos
from bcdh_lib.photos.folder import LeftOut, Photo, find_files, in_processes, path_in_table, state_of, take
from bcdh_lib.provenance import digest_of
from bcdh_lib.study import Study
from bcdh_lib.tables import write_bytes


@dataclass(frozen=True)
class Update:
    """What bringing an index up to date did."""

    photos: int  # that are in it now
    new: int
    anew: int  # encoded again
    gone: int  # rows whose photo is there no more, or cannot be read any more
    left_out: list[LeftOut]


def update(folder: Path, photos: Path, model: Path | None = None, study: Study | None = None, recentre: bool = False) -> Update:
    """Make the index in `folder` of the photos under `photos`, or bring it up to date.

    model: the checkpoint; study: whose settings say what is taken in. Both are needed where there is no index yet, and must be
    the index's own where there is one. recentre: encode all photos anew and move the bits' thresholds to the mean of their
    outputs; without it the thresholds stay those of the index. A killed update goes on from its finished photos.
    Raises PhotoIndexError, NetworkError, and LockError where another process writes the index.
    """
    _check_folders(folder, photos)
    sha256 = _digest_of_model(model) if model else None
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if (folder / "index.json").is_file():
            index = _reopen(folder, photos, sha256, study)
        elif model and sha256 and study:
            index = _begin(folder, photos, model, sha256, study)
        else:
            raise PhotoIndexError(f"{folder}: holds no index yet; name the network that shall make it with --model")
        files, left_out = find_files(photos)
        kept, outputs = _encode_missing(index, files, left_out, recentre)
        if not kept and not outputs:
            counts = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in left_out).most_common())
            raise PhotoIndexError(f"{photos}: holds no usable photo ({counts or 'it is empty'}); name a folder with photos in it")
        rows = _rows_of(index, kept, outputs, recentre)
        facts = index.facts.model_copy(update={"recentred": index.facts.recentred or recentre})
        publish(folder, facts, rows, left_out)
        before, now = set(index.rows.photos["path"]), set(rows.photos["path"])
        return Update(len(now), len(now - before), len(before & outputs.keys()), len(before - now), left_out)


def _check_folders(folder: Path, photos: Path) -> None:
    if not photos.is_dir():
        raise PhotoIndexError(f"{photos}: is {'a file' if photos.exists() else 'not there'}; name the folder of your photos")
    if folder.resolve().is_relative_to(photos.resolve()):
        raise PhotoIndexError(f"{folder}: lies among the photos, which are only read; name another place with --index")
    if folder.exists() and not folder.is_dir():
        raise PhotoIndexError(f"{folder}: is a file; name another place with --index")
    others = {path.name for path in folder.glob("*") if path.name.removesuffix(".part") not in OWN}
    if others and not (folder / "index.json").is_file():
        raise PhotoIndexError(f"{folder}: holds {min(others)} and no index; name another place with --index")


def _digest_of_model(model: Path) -> str:
    """The SHA-256 of a checkpoint that gives codes. Raises NetworkError, PhotoIndexError."""
    network, facts = load_checkpoint(model)
    if network.bits is None:
        raise PhotoIndexError(f"{model}: gives real vectors, no codes; name a model that has bits with --model")
    return str(facts["sha256"])


def _begin(folder: Path, photos: Path, model: Path, sha256: str, study: Study) -> PhotoIndex:
    """A new index without rows, the model copied into it."""
    for ending in (".json", ".safetensors"):
        write_bytes(folder / f"model{ending}", model.with_suffix(ending).read_bytes())
    limits = _limits(study, photos)
    facts = Facts(model=sha256, photos=limits, threads=study.params.run.threads, recentred=False, rows="")
    index = PhotoIndex(folder, facts, Rows())
    bits = index.encoder.network.bits or 0
    return PhotoIndex(folder, facts, Rows(codes=np.empty((0, bits // 8), np.uint8), centre=np.zeros(bits, np.float32)))


def _reopen(folder: Path, photos: Path, sha256: str | None, study: Study | None) -> PhotoIndex:
    """The index there is. Raises PhotoIndexError where it is of another folder, model or setting than is wanted now."""
    index = open_index(folder)
    if index.facts.photos.folder != path_in_table(photos.resolve()):
        raise PhotoIndexError(f"{folder}: is the index of {index.facts.photos.folder}; name another place with --index")
    if sha256 and sha256 != index.facts.model:
        raise PhotoIndexError(f"{folder}: its codes are those of another model; name another place with --index")
    wanted = _limits(study, photos) if study else index.facts.photos
    for key in Photos.model_fields:
        if (was := getattr(index.facts.photos, key)) != (now := getattr(wanted, key)):
            raise PhotoIndexError(f"{folder}: was made with photos.{key} {was}, not {now}; name another place with --index")
    return index


def _limits(study: Study, photos: Path) -> Photos:
    """The study's settings of what is taken in, for this folder."""
    return study.params.photos.model_copy(update={"source": "folder", "folder": path_in_table(photos.resolve())})


def _encode_missing(
    index: PhotoIndex, files: dict[str, Path], left_out: list[LeftOut], anew: bool
) -> tuple[list[int], dict[str, Encoded]]:
    """The index's rows that still hold (none where all is made anew), and the other photos encoded, by path.

    What cannot be read is appended to `left_out`; `unfinished` notes what is encoded.
    """
    states = {path: state for path, file in files.items() if (state := _state(file))}
    before = index.rows.photos[:0] if anew else index.rows.photos
    stored = zip(before["path"], before[["size", "mtime_ns"]].to_numpy().tolist(), strict=True)
    kept = [row for row, (path, state) in enumerate(stored) if states.get(path) == state]
    notes, copies = _begin_work(index)
    outputs = {
        one.photo.path: one for one in _finished(notes, len(index.rows.centre)) if states.get(one.photo.path) == one.photo.state
    }
    outputs = {path: one for path, one in outputs.items() if path not in set(before["path"].iloc[kept])}
    done = {*before["path"].iloc[kept], *outputs}
    jobs = [(path, file) for path, file in files.items() if path not in done]
    taken = partial(take, limits=index.facts.photos, copies=copies)
    with (
        open(notes, "a", encoding="utf-8") as noted,
        tqdm(desc="photos", unit="photo", total=len(files), initial=len(done)) as bar,
    ):
        noted.write("\n")  # a line that a kill cut ends here
        for some in index.encoder.encode(in_processes(taken, jobs, index.facts.threads), copies):
            for one in some:
                if isinstance(one, LeftOut):
                    left_out.append(one)
                else:
                    outputs[one.photo.path] = one
                    noted.write(_note(one))
            noted.flush()
            bar.update(len(some))
    return kept, outputs


def _begin_work(index: PhotoIndex) -> tuple[Path, Path]:
    """Where encoded photos are noted, and an empty folder for copies.

    Notes belong to a model and to limits. A process that was killed may write to its own copies for a moment yet.
    """
    unfinished = index.folder / "unfinished"
    for stale in unfinished.glob("*/"):
        shutil.rmtree(stale, ignore_errors=True)
    copies = unfinished / f"copies-{os.getpid()}"
    copies.mkdir(parents=True, exist_ok=True)
    return unfinished / f"{digest_of([], index.facts.model, index.facts.photos.model_dump_json())}.jsonl", copies


def _state(file: Path) -> list[int] | None:
    """photos.folder.state_of a file; None where there is none."""
    with contextlib.suppress(OSError):
        return state_of(os.stat(file))
    return None


@dataclass(frozen=True)
class _Note:
    """A photo that an update has encoded, as a line of its notes."""

    photo: Photo
    outputs: str  # float32, little-endian, in base64


NOTE = TypeAdapter(_Note)


def _note(one: Encoded) -> str:
    note = _Note(one.photo, base64.b64encode(one.outputs.astype("<f4").tobytes()).decode())
    return json.dumps(asdict(note)) + "\n"


def _finished(notes: Path, bits: int) -> Iterator[Encoded]:
    """The photos that a killed update noted as finished."""
    for line in notes.read_bytes().splitlines() if notes.exists() else []:
        with contextlib.suppress(ValueError):  # a line cut by the kill
            note = NOTE.validate_json(line, strict=True)
            outputs = np.frombuffer(base64.b64decode(note.outputs, validate=True), "<f4")
            if outputs.shape == (bits,) and np.isfinite(outputs).all():
                yield Encoded(note.photo, outputs)


def _rows_of(index: PhotoIndex, kept: list[int], outputs: dict[str, Encoded], recentre: bool) -> Rows:
    """Rows kept and rows encoded, sorted by path."""
    encoded = [outputs[path] for path in sorted(outputs)]
    raw = np.array([one.outputs for one in encoded], np.float32).reshape(len(encoded), len(index.rows.centre))
    centre = centre_of(raw) if recentre else index.rows.centre
    fresh = pd.DataFrame([(one.photo.path, *one.photo.state, one.photo.sha256) for one in encoded], columns=ROW.names)
    table = pd.concat([index.rows.photos.iloc[kept], fresh], ignore_index=True)
    codes = np.concatenate([index.rows.codes[kept], pack_around(raw, centre)])
    order = np.argsort(table["path"].to_numpy(dtype=object), kind="stable")
    return Rows(table.iloc[order], codes[order], centre)
