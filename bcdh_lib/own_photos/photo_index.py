"""An index of a folder of photos on disk: their packed codes, which photos they are, and the network that made them.

    index.json                what it is: Facts; it names the folder of the rows, so that its rename ends an update
    model.safetensors, .json  a copy of the checkpoint: training anew does not part the index from its network
    ROWS/codes.npy            uint8 [n, L/8], mapped into memory where it is read
    ROWS/photos.parquet       a row a code, sorted by path: path (as photos.folder writes it), size, mtime_ns, sha256
    ROWS/left_out.parquet     what is in the folder and not in the index, and why
    ROWS/centre.npy           float32 [L], what is taken from the outputs before the sign; 0 unless recentred
    ROWS/METHOD-DIGEST.faiss  an approximate index of the codes, where a search asked for one (large_search.py)
    lock, unfinished/         who writes; the outputs of photos that an update has encoded so far (index_update.py)

ROWS is the digest of the four that an update writes. The photos are only read.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bcdh_lib import params
from bcdh_lib.codes import Codes
from bcdh_lib.lock import locked
from bcdh_lib.network import load_checkpoint
from bcdh_lib.own_photos.encoder import Encoded, Encoder
from bcdh_lib.own_photos.large_search import (
    METHODS,
    NPROBE,
    Found,
    LargeSearchError,
    build,
    exact,
    index_file,
    search_file,
    write_index,
)
from bcdh_lib.own_photos.recentring import Centre, pack_around
from bcdh_lib.params import Positive, Section, first_fault, in_a_line
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.folder import LeftOut, Photo, path_in_table, take
from bcdh_lib.provenance import digest_of
from bcdh_lib.tables import TABLES, read_array, read_parquet, write_array, write_bytes, write_table

ROW = pa.schema({"path": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "sha256": pa.string()})
OWN = {"index.json", "model.safetensors", "model.json", "lock", "unfinished"}


class PhotoIndexError(ValueError):
    """An index that cannot be made, brought up to date or searched; the message names the file and the mend."""


class Facts(Section):
    """What an index was first made with, and keeps."""

    model: str  # SHA-256 of the checkpoint
    photos: params.Photos  # the folder, written as a path in the tables, and the limits of what is taken in
    threads: Positive  # CPU threads of torch
    recentred: bool
    rows: str  # the folder of its rows


@dataclass(frozen=True)
class Rows:
    """The photos of an index and their codes, row by row, sorted by path."""

    photos: pd.DataFrame = field(default_factory=lambda: ROW.empty_table().to_pandas())
    codes: Codes = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    centre: Centre = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True)
class Hit:
    """A photo that a search found."""

    distance: int  # bits
    path: str  # whole, written as a path in the tables


@dataclass(frozen=True)
class PhotoIndex:
    """An index as it lies on disk."""

    folder: Path
    facts: Facts
    rows: Rows

    @cached_property
    def encoder(self) -> Encoder:
        """The network that makes the codes. Raises NetworkError, PhotoIndexError."""
        path = self.folder / "model.safetensors"
        network, facts = load_checkpoint(path)
        if facts["sha256"] != self.facts.model:
            raise PhotoIndexError(f"{path}: is not the network that made the codes; make a new index")
        return Encoder(network, self.facts.threads)

    def search(self, queries: Sequence[Path], k: int, method: str = "flat", nprobe: int | None = None) -> list[list[Hit]]:
        """The k nearest photos of each query photo; equal distances in the order of the rows.

        method, nprobe: large_search's. Another than flat may find fewer than k, and others of those at the last distance.
        Raises PhotoIndexError where a query cannot be read as a photo, LargeSearchError, and LockError where the method's file is
        to be made while another process writes the index.
        """
        distances, rows = self._nearest(self._codes_of(queries), k, method, nprobe)
        paths, folder = self.rows.photos["path"], self.facts.photos.folder
        return [
            [Hit(int(distance), f"{folder}/{paths.iloc[row]}") for distance, row in zip(*found, strict=True) if row >= 0]
            for found in zip(distances, rows, strict=True)
        ]

    def _nearest(self, queries: Codes, k: int, method: str, nprobe: int | None) -> Found:
        if method not in METHODS:
            raise LargeSearchError(f"method {method} is unknown; known: {', '.join(METHODS)}")
        if method == "flat" and nprobe is not None:
            raise LargeSearchError("method flat compares every code: leave out nprobe, or name the method ivf or multihash")
        if method == "flat" or not len(self.rows.codes):
            return exact(self.rows.codes, queries, k)
        path = index_file(self.folder / self.facts.rows, self.rows.codes, method)
        if not path.exists():
            with locked(self.folder / "lock"):
                if not path.parent.is_dir():
                    raise PhotoIndexError(f"{self.folder}: was brought up to date meanwhile; search again")
                write_index(path, build(self.rows.codes, method))
        return search_file(path, self.rows.codes, queries, k, NPROBE[method] if nprobe is None else nprobe)

    def _codes_of(self, queries: Sequence[Path]) -> Codes:
        prepare_process()
        with tempfile.TemporaryDirectory(prefix="bcdh-") as place:
            copies = Path(place)
            photos: list[Photo] = []
            for query in queries:
                outcome = take((path_in_table(Path(query.name)), query), self.facts.photos, copies)
                if isinstance(outcome, LeftOut):
                    raise PhotoIndexError(f"{query}: {outcome.reason} ({outcome.detail}); name a photo")
                photos.append(outcome)
            lists = self.encoder.encode(photos, copies)
            outputs = {one.photo.sha256: one.outputs for some in lists for one in some if isinstance(one, Encoded)}
        return pack_around(np.stack([outputs[photo.sha256] for photo in photos]), self.rows.centre)


def open_index(folder: Path) -> PhotoIndex:
    """The index in `folder`. Raises PhotoIndexError where there is none, or it is broken."""
    if not (folder / "index.json").is_file():
        raise PhotoIndexError(f"{folder}: holds no index; make one with: bcdh index PHOTOS --model MODEL --index {folder}")
    fault: Exception | None = None
    for _ in range(3):  # between two reads here a writer may have put newer rows in place of the old
        try:
            facts = Facts.model_validate_json((folder / "index.json").read_bytes())
            return PhotoIndex(folder, facts, _read_rows(folder / facts.rows))
        except ValidationError as error:
            raise PhotoIndexError(f"{folder / 'index.json'}: {first_fault(error)}; make a new index") from None
        except (OSError, ValueError) as error:
            fault = error
    raise PhotoIndexError(f"{folder}: its rows cannot be read ({in_a_line(fault)}); make a new index")


def _read_rows(folder: Path) -> Rows:
    """Raises OSError or ValueError where the rows are absent or do not fit each other."""
    table = read_parquet(folder / "photos.parquet")
    if not table.schema.equals(ROW) or any(column.null_count for column in table.columns):
        raise ValueError(f"photos.parquet has not the columns {', '.join(ROW.names)}, or not everywhere")
    photos, codes, centre = table.to_pandas(), read_array(folder / "codes.npy", mapped=True), read_array(folder / "centre.npy")
    if centre.dtype != np.float32 or centre.ndim != 1 or not np.isfinite(centre).all():
        raise ValueError(f"centre.npy holds {centre.dtype} {centre.shape}, or no numbers")
    if codes.dtype != np.uint8 or codes.shape != (len(photos), len(centre) // 8):
        raise ValueError(f"codes.npy holds {codes.dtype} {codes.shape} for {len(photos)} photos of {len(centre)} bits")
    return Rows(photos, codes, centre)


def publish(folder: Path, facts: Facts, rows: Rows, left_out: list[LeftOut]) -> None:
    """Put the rows beside the old ones, let index.json name them, and drop what it no longer names.

    Killed anywhere, it leaves the old index or the new one, and the same call ends what it began.
    """
    new = folder / "unfinished/rows"
    shutil.rmtree(new, ignore_errors=True)
    write_array(new / "codes.npy", rows.codes)
    write_array(new / "centre.npy", rows.centre)
    write_table(new, "left_out", pd.DataFrame(left_out, columns=list(TABLES["left_out"].columns)))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows.photos, schema=ROW, preserve_index=False).replace_schema_metadata(), buffer)
    write_bytes(new / "photos.parquet", buffer.getvalue())
    name = digest_of(sorted(new.iterdir()))
    if not (folder / name).is_dir():
        os.replace(new, folder / name)
    facts = facts.model_copy(update={"rows": name})
    write_bytes(folder / "index.json", (facts.model_dump_json(indent=1) + "\n").encode())
    for stale in folder.glob("*/"):
        if stale.name != name:
            shutil.rmtree(stale, ignore_errors=True)
