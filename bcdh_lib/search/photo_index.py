"""An index of a folder of photos on disk: their packed codes, which photos they are, and the network that made them.

    index.json                what it is: Facts; it names the folder of the rows, so that its rename ends an update
    model.safetensors, .json  a copy of the checkpoint: training anew does not part the index from its network
    ROWS/codes.npy            uint8 [n, L/8], mapped into memory where it is read
    ROWS/photos.parquet       a row a code, sorted by path: path (as photos.folder writes it), size, mtime_ns, sha256
    ROWS/left_out.parquet     what is in the folder and not in the index, and why
    ROWS/centre.npy           float32 [L], what is taken from the outputs before the sign; 0 unless recentred
    ROWS/METHOD-DIGEST.faiss  an approximate index of the codes, where a search asked for one (large_search.py)
    lock, unfinished/         who writes; the outputs of photos that an update has encoded so far (index_update.py)

ROWS is the digest of the four that an update writes. The photos are only read. Of millions of them neither a search nor an update
holds the table: each reads the rows that it needs.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bcdh_lib import params
from bcdh_lib.comparison.provenance import digest_of
from bcdh_lib.core.codes import Codes
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked, read_array, write_array, write_bytes
from bcdh_lib.core.recentring import Centre, pack_around
from bcdh_lib.core.settings import Positive, Section, first_fault
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.core.text import one_line
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.folder import LeftOut, path_in_table
from bcdh_lib.search.encoder import Encoder, Outputs, see
from bcdh_lib.search.large_search import METHODS, NPROBE, Found, build, exact, index_file, search_file, write_index
from bcdh_lib.training.network import load_checkpoint

ROW = pa.schema({"path": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "sha256": pa.string()})
Block = tuple[pd.DataFrame, Codes]
"""Some rows, of the form ROW, and their codes."""
OWN = {"index.json", "model.safetensors", "model.json", "lock", "unfinished"}


class Facts(Section):
    """What an index was first made with, and keeps."""

    model: str  # SHA-256 of the checkpoint
    photos: params.Photos  # the folder, written as a path in the tables, and the limits of what is taken in
    threads: Positive  # CPU threads of torch
    recentred: bool
    rows: str  # the folder of its rows
    listed_in: str | None = None  # the file in the folder that names the photos, where not all below the folder are meant


def _no_photos() -> pq.ParquetFile:
    buffer = io.BytesIO()
    pq.write_table(ROW.empty_table(), buffer)
    return pq.ParquetFile(buffer)


@dataclass(frozen=True)
class Rows:
    """The photos of an index and their codes, row by row, sorted by path. The table stays in its file until it is asked for.

    Whatever reads it raises StudyError where the file is broken further in than its opening showed.
    """

    table: pq.ParquetFile = field(default_factory=_no_photos)
    codes: Codes = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    centre: Centre = field(default_factory=lambda: np.empty(0, np.float32))
    file: Path = Path("photos.parquet")  # where the table lies

    @cached_property
    def photos(self) -> pd.DataFrame:
        """The table, whole."""
        return pa.concat_tables([ROW.empty_table(), *self._groups()]).to_pandas()

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The table, a group of rows at a time."""
        return (group.to_pandas() for group in self._groups())

    def _groups(self) -> Iterator[pa.Table]:
        return (self._group(number, ROW.names) for number in range(self.table.num_row_groups))

    def _group(self, number: int, columns: list[str]) -> pa.Table:
        try:
            group = self.table.read_row_group(number, columns)
            group.validate(full=True)  # texts are Unicode
            rows = self.table.metadata.row_group(number).num_rows
            if len(group) != rows or any(column.null_count for column in group.columns):
                raise ValueError(f"it has not every column of {rows} rows")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StudyError(f"{self.file}: its rows cannot be read ({one_line(error)}); make a new index") from None
        return group.replace_schema_metadata()

    def paths(self, rows: Iterable[int]) -> dict[int, str]:
        """The paths of some rows; read are the groups of rows in the file that hold them."""
        metadata = self.table.metadata
        ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        wanted: dict[int, list[int]] = {}
        for row in rows:
            wanted.setdefault(int(np.searchsorted(ends, row, side="right")), []).append(row)
        found: dict[int, str] = {}
        for group, inside in wanted.items():
            column = self._group(group, ["path"])["path"]
            found |= {row: column[row - int(ends[group]) + len(column)].as_py() for row in inside}
        return found


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
        """The network that makes the codes. Raises StudyError."""
        path = self.folder / "model.safetensors"
        network, facts = load_checkpoint(path)
        if facts["sha256"] != self.facts.model:
            raise StudyError(f"{path}: is not the network that made the codes; make a new index")
        return Encoder(network, self.facts.threads)

    def search(self, queries: Sequence[Path], k: int, method: str = "flat", nprobe: int | None = None) -> list[list[Hit]]:
        """The k nearest photos of each query photo; equal distances in the order of the rows.

        method, nprobe: large_search's. Another than flat may find fewer than k, and others of those at the last distance.
        Raises StudyError where a query cannot be read as a photo, StudyError, and LockError where the method's file is
        to be made while another process writes the index.
        """
        distances, rows = self._nearest(self._codes_of(queries), k, method, nprobe)
        paths, folder = self.rows.paths({int(row) for row in rows.flat if row >= 0}), self.facts.photos.folder or ""
        return [
            [Hit(int(distance), posixpath.join(folder, paths[row])) for distance, row in zip(*found, strict=True) if row >= 0]
            for found in zip(distances, rows.tolist(), strict=True)
        ]

    def _nearest(self, queries: Codes, k: int, method: str, nprobe: int | None) -> Found:
        if method not in METHODS:
            raise StudyError(f"method {method} is unknown; known: {', '.join(METHODS)}")
        if method == "flat" and nprobe is not None:
            raise StudyError("method flat compares every code: leave out nprobe, or name the method ivf or multihash")
        if method == "flat" or not len(self.rows.codes):
            return exact(self.rows.codes, queries, k)
        path = index_file(self.folder / self.facts.rows, self.rows.codes, method)
        if not path.exists():
            with locked(self.folder / "lock"):
                if not path.parent.is_dir():
                    raise StudyError(f"{self.folder}: was brought up to date meanwhile; search again")
                write_index(path, build(self.rows.codes, method))
        return search_file(path, self.rows.codes, queries, k, NPROBE[method] if nprobe is None else nprobe)

    def _codes_of(self, queries: Sequence[Path]) -> Codes:
        prepare_process()
        return pack_around(np.concatenate([self._outputs_of(query) for query in queries]), self.rows.centre)

    def _outputs_of(self, query: Path) -> Outputs:
        outcome = see((path_in_table(Path(query.name)), query), self.facts.photos, self.encoder.network.settings.side)
        if isinstance(outcome, LeftOut):
            raise StudyError(f"{query}: {outcome.reason} ({outcome.detail}); name a photo")
        return self.encoder.outputs(outcome.view)


def open_index(folder: Path) -> PhotoIndex:
    """The index in `folder`. Raises StudyError where there is none, or it is broken."""
    if not (folder / "index.json").is_file():
        raise StudyError(f"{folder}: holds no index; make one with: bcdh index PHOTOS --model MODEL --index {folder}")
    fault: Exception | None = None
    for _ in range(3):  # between two reads here a writer may have put newer rows in place of the old
        try:
            facts = Facts.model_validate_json((folder / "index.json").read_bytes())
            return PhotoIndex(folder, facts, _read_rows(folder / facts.rows))
        except ValidationError as error:
            raise StudyError(f"{folder / 'index.json'}: {first_fault(error)}; make a new index") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            fault = error
    raise StudyError(f"{folder}: its rows cannot be read ({one_line(fault)}); make a new index")


def _read_rows(folder: Path) -> Rows:
    """Raises OSError, ValueError or pyarrow's own errors where the rows are absent or do not fit each other."""
    table = pq.ParquetFile(folder / "photos.parquet")
    if not table.schema_arrow.equals(ROW) or _has_nulls(table.metadata):
        raise ValueError(f"photos.parquet has not the columns {', '.join(ROW.names)}, or not everywhere")
    codes, centre = read_array(folder / "codes.npy", mapped=True), read_array(folder / "centre.npy")
    if centre.dtype != np.float32 or centre.ndim != 1 or not np.isfinite(centre).all():
        raise ValueError(f"centre.npy holds {centre.dtype} {centre.shape}, or no numbers")
    rows = sum(table.metadata.row_group(number).num_rows for number in range(table.num_row_groups))
    if codes.dtype != np.uint8 or codes.shape != (rows, len(centre) // 8):
        raise ValueError(f"codes.npy holds {codes.dtype} {codes.shape} for {rows} photos of {len(centre)} bits")
    return Rows(table, codes, centre, folder / "photos.parquet")


def _has_nulls(metadata: pq.FileMetaData) -> bool:
    """Whether a column says that it lacks values, or does not say."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return any(column.statistics is None or column.statistics.null_count for column in columns)


def publish(folder: Path, facts: Facts, centre: Centre, blocks: Iterable[Block], left_out: list[LeftOut]) -> None:
    """Put rows, which come in blocks, beside the old ones, let index.json name them, and drop what it no longer names.

    Killed anywhere, it leaves the old index or the new one, and the same call ends what it began.
    """
    new = folder / "unfinished/rows"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    _write_blocks(new, len(centre) // 8, blocks)
    write_array(new / "centre.npy", centre)
    write_table(new, "left_out", pd.DataFrame(left_out, columns=list(TABLES["left_out"].columns)))
    name = digest_of(sorted(new.iterdir()))
    if not (folder / name).is_dir():
        os.replace(new, folder / name)
    facts = facts.model_copy(update={"rows": name})
    write_bytes(folder / "index.json", (facts.model_dump_json(indent=1) + "\n").encode())
    for stale in folder.glob("*/"):
        if stale.name != name:
            shutil.rmtree(stale, ignore_errors=True)


def _write_blocks(folder: Path, width: int, blocks: Iterable[Block]) -> None:
    """Write photos.parquet, a group of rows a block, and codes.npy; its header has room for the length, known at the end."""

    def write_header(count: int) -> None:
        codes.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, width)}
        np.lib.format.write_array_header_1_0(codes, header)

    with open(folder / "codes.npy", "wb") as codes, pq.ParquetWriter(folder / "photos.parquet", ROW) as photos:
        write_header(0)
        count = 0
        for table, packed in blocks:
            photos.write_table(pa.Table.from_pandas(table, schema=ROW, preserve_index=False).replace_schema_metadata())
            codes.write(np.ascontiguousarray(packed).data)
            count += len(packed)
        write_header(count)
