"""An index of a photo collection on disk: which photos it holds, their packed codes, and the network that made them.

    index.json                what the index is: Facts; it names the folder of the rows, so its rename ends an update
    model.safetensors, .json  a copy of the checkpoint
    left_out.csv              the files that are not in the index, and why
    ROWS/photos.parquet       one row a code, sorted by path: path (as photos.folder writes it), size, mtime_ns, sha256
    ROWS/codes.npy            uint8 [n, L/8], mapped into memory when it is read
    ROWS/centre.npy           float32 [L], the bits' thresholds: subtracted from the outputs before the sign
    ROWS/ivf.faiss            inverted lists of the codes, once a search asked for them
    lock, unfinished/         who writes; what an update has encoded so far (index_update.py)

ROWS is the digest of its first three files. A search reads the codes and the rows of its hits, never the whole table.
"""

import hashlib
import os
import posixpath
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from bcdh_lib import params
from bcdh_lib.core.codes import Codes, pack
from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import locked, read_array, write_array, write_bytes, writing
from bcdh_lib.core.settings import NotNegative, Section, first_fault
from bcdh_lib.core.tables import open_parquet
from bcdh_lib.photos.photo_file import LeftOut
from bcdh_lib.search import nearest
from bcdh_lib.search.encoder import Seen, encode, read_view
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import device
from bcdh_lib.training.network import HashNetwork

ROW = pa.schema({"path": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "sha256": pa.string()})
GROUP = 1 << 16
"""Rows of photos.parquet that are read together."""


class Facts(Section):
    """What an index is of."""

    model: str  # SHA-256 of the checkpoint
    photos: params.Photos  # limits of what is read; its folder is what the rows' paths are relative to
    collection: str = ""  # what was indexed, the folder or a list in it, written as a path in the tables
    centred_on: NotNegative = 0  # photos whose mean output gave the thresholds; 0: the network's own thresholds
    missing: NotNegative = 0  # rows whose photos the last update did not find, kept until the next one
    rows: str = ""  # the folder of the rows


@dataclass(frozen=True)
class Hit:
    """A photo that a search found."""

    distance: float  # bits
    path: str  # absolute, written as a path in the tables
    copies: int = 1  # equal photos that it represents, itself included


@dataclass(frozen=True)
class Answer:
    """What a search found for one query, or why it could not read the query."""

    query: Path
    hits: list[Hit]
    fault: LeftOut | None = None


@dataclass(frozen=True)
class PhotoIndex:
    """An index on disk. The table is read from its open file on first use: an update may remove it meanwhile."""

    folder: Path
    facts: Facts
    codes: Codes
    centre: NDArray[np.float32]
    table: pq.ParquetFile | None = None  # None: no row yet

    @cached_property
    def network(self) -> HashNetwork:
        """The network that made the codes. Raises StudyError."""
        path = self.folder / "model.safetensors"
        with suppress(StudyError):
            network, facts = load_checkpoint(path)
            if facts["sha256"] == self.facts.model:
                return network.to(device())
        raise StudyError(f"{path}: is not the network that made the codes; make a new index")

    def photos(self) -> pd.DataFrame:
        """The whole table, as in ROW. Raises StudyError if it is broken."""
        if self.table is None:
            return ROW.empty_table().to_pandas()
        return self._read(range(self.table.num_row_groups), ROW.names).to_pandas()

    def at(self, rows: Iterable[int]) -> dict[int, tuple[str, str]]:
        """(path, sha256) of some rows. Raises StudyError if the table is broken."""
        found: dict[int, tuple[str, str]] = {}
        for group, inside in groupby(sorted(set(rows)), lambda row: row // GROUP):
            path, sha256 = self._read([group], ["path", "sha256"]).columns
            found |= {row: (path[row % GROUP].as_py(), sha256[row % GROUP].as_py()) for row in inside}
        return found

    def _read(self, groups: Iterable[int], columns: list[str]) -> pa.Table:
        assert self.table is not None
        try:
            table = self.table.read_row_groups(list(groups), columns)
            table.validate(full=True)  # texts are Unicode
            if any(column.null_count for column in table.columns):
                raise ValueError("a value is missing")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StudyError(f"{self.folder}: photos.parquet cannot be read ({one_line(error)}); make a new index") from None
        return table.replace_schema_metadata()

    def search(
        self,
        queries: Sequence[Path],
        k: int = 10,
        *,
        hamming: bool = False,
        within: float | None = None,
        distinct: float | None = None,
        method: str = "flat",
        nprobe: int | None = None,
    ) -> list[Answer]:
        """The k nearest photos of each query, by the asymmetric distance or the Hamming distance.

        within: no photo farther than this, in bits. distinct: equal files, and photos whose codes differ in at most so many
        bits, are shown once (0: equal files and equal codes; negative: equal files alone). method, nprobe: nearest.py.
        Raises StudyError, also if the method's file is to be made while another process writes the index.
        """
        sought = self._search_by(method, nprobe)
        encoded = self.encode(queries)
        outputs = np.array([one.values for one in encoded if isinstance(one, Seen)], np.float32)
        outputs = outputs.reshape(-1, len(self.centre)) - self.centre
        asked = k
        while True:
            found = sought(pack(outputs), asked) if hamming else nearest.search_asymmetric(self.codes, outputs, asked, sought)
            hits = [self._hits(distances, rows, k, distinct) for distances, rows in zip(*found, strict=True)]
            if distinct is None or asked >= len(self.codes) or all(len(each) == k for each in hits):
                break
            asked *= 10  # equal photos took places
        near = iter([hit for hit in each if within is None or hit.distance <= within] for each in hits)
        pairs = zip(queries, encoded, strict=True)
        return [Answer(query, [], one) if isinstance(one, LeftOut) else Answer(query, next(near)) for query, one in pairs]

    def _hits(self, distances: NDArray, rows: NDArray[np.int64], k: int, distinct: float | None) -> list[Hit]:
        rows = rows[rows >= 0]
        known = self.at(rows.tolist())
        hits: list[Hit] = []
        shown: list[int] = []  # the hits' rows

        def equal(row: int, other: int) -> bool:
            differing = int(np.bitwise_count(self.codes[row] ^ self.codes[other]).sum())
            return distinct is not None and (known[row][1] == known[other][1] or differing <= distinct)

        for distance, row in zip(distances.tolist(), rows.tolist(), strict=False):
            same = next((i for i, other in enumerate(shown) if equal(row, other)), None)
            if same is not None:
                hits[same] = Hit(hits[same].distance, hits[same].path, hits[same].copies + 1)
            elif len(hits) < k:
                hits.append(Hit(distance, posixpath.join(self.facts.photos.folder or "", known[row][0])))
                shown.append(row)
        return hits

    def _search_by(self, method: str, nprobe: int | None) -> nearest.Search:
        if method == "flat" or not len(self.codes):
            if nprobe is not None:
                raise StudyError("method flat compares every code: leave out --nprobe, or add --method ivf")
            return partial(nearest.search_flat, self.codes)
        path = self.folder / self.facts.rows / "ivf.faiss"
        if not path.exists():
            with writing(path, "leave out --method ivf"), locked(self.folder / "lock"):
                if not path.parent.is_dir():
                    raise StudyError(f"{self.folder}: was updated in the meantime; search again")
                nearest.write_ivf(path, nearest.build_ivf(self.codes))
        return partial(nearest.search_ivf, nearest.read_ivf(path, self.codes), nprobe=nprobe or nearest.NPROBE)

    def encode(self, queries: Sequence[Path]) -> list[Seen | LeftOut]:
        """The queries' outputs, or why there are none, in order."""
        side = self.network.settings.side
        views = [read_view((str(number), query), self.facts.photos, side) for number, query in enumerate(queries)]
        outcomes = [one for batch in encode(self.network, views) for one in batch]
        return sorted(outcomes, key=lambda one: int(one.path if isinstance(one, LeftOut) else one.photo.path))


def open_index(folder: Path) -> PhotoIndex:
    """The index in `folder`. Raises StudyError if there is none, or it is broken."""
    fault: Exception | None = None
    for _ in range(3):  # between two reads here a writer may have replaced the rows
        try:
            if not (folder / "index.json").is_file():
                raise StudyError(f"{folder}: is no index; make one with: bcdh index PHOTOS --index {shlex.quote(str(folder))}")
            facts = Facts.model_validate_json((folder / "index.json").read_bytes())
            return PhotoIndex(folder, facts, *_open_rows(folder / facts.rows))
        except ValidationError as error:
            raise StudyError(f"{folder / 'index.json'}: {first_fault(error)}; make a new index") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            fault = error
    raise StudyError(f"{folder}: cannot be read ({one_line(fault)}); make it readable, or make a new index")


def _open_rows(folder: Path) -> tuple[Codes, NDArray[np.float32], pq.ParquetFile]:
    """Raises OSError, ValueError or pyarrow's own errors if the files are missing or do not fit each other."""
    table = open_parquet(folder / "photos.parquet")
    sizes = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
    if not table.schema_arrow.equals(ROW) or any(size != GROUP for size in sizes[:-1]) or any(size > GROUP for size in sizes):
        raise ValueError(f"photos.parquet does not have the columns {', '.join(ROW.names)} in groups of {GROUP} rows")
    codes, centre = read_array(folder / "codes.npy", mapped=True), read_array(folder / "centre.npy")
    if centre.dtype != np.float32 or centre.ndim != 1 or not np.isfinite(centre).all():
        raise ValueError(f"centre.npy holds {centre.dtype} {centre.shape}, or values that are no numbers")
    if codes.dtype != np.uint8 or codes.shape != (sum(sizes), len(centre) // 8):
        raise ValueError(f"codes.npy holds {codes.dtype} {codes.shape} for {sum(sizes)} photos of {len(centre)} bits")
    return codes, centre, table


def publish(folder: Path, facts: Facts, photos: pd.DataFrame, codes: Codes, centre: NDArray, left_out: list[LeftOut]) -> None:
    """Write new rows next to the old ones, let index.json name them, and remove the old ones.

    A kill at any moment leaves the old index or the new one; the same update then ends what it began. Raises OSError.
    """
    new = folder / "unfinished/rows"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    table = pa.Table.from_pandas(photos, schema=ROW, preserve_index=False).replace_schema_metadata()
    with open(new / "photos.parquet", "wb") as rows:
        pq.write_table(table, rows, row_group_size=GROUP)
    write_array(new / "codes.npy", codes)
    write_array(new / "centre.npy", centre.astype(np.float32))
    digest = hashlib.sha256()
    for file in sorted(new.iterdir()):
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    name = digest.hexdigest()[:16]
    if not (folder / name).is_dir():
        os.replace(new, folder / name)
    listed = pd.DataFrame(left_out, columns=["path", "reason", "detail"])
    write_bytes(folder / "left_out.csv", listed.to_csv(index=False).encode())
    facts = facts.model_copy(update={"rows": name})
    write_bytes(folder / "index.json", (facts.model_dump_json(indent=1) + "\n").encode())
    for stale in folder.glob("*/"):
        if stale.name == "unfinished" or (re.fullmatch("[0-9a-f]{16}", stale.name) and stale.name != name):  # nobody else's
            shutil.rmtree(stale, ignore_errors=True)
