"""What an update of an index has encoded so far, in parts on disk, so that a killed update goes on from there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack
from bcdh_lib.core.files import write_bytes
from bcdh_lib.search.encoder import Encoded
from bcdh_lib.search.photo_index import ROW, PhotoIndex

STATE = ["path", "size", "mtime_ns"]
"""What tells, unread, whether a file is the one that was encoded."""


class Parts:
    """What an update has encoded so far, as files in unfinished/KEY. They belong to one model and one way of reading photos."""

    def __init__(self, index: PhotoIndex) -> None:
        key = hashlib.sha256(f"{index.facts.model} {index.facts.photos.max_side}".encode()).hexdigest()[:16]
        self.bits = len(index.rows.centre)
        self.folder = index.folder / "unfinished" / key
        for other in self.folder.parent.glob("*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.schema = ROW.append(pa.field("outputs", pa.binary(4 * self.bits)))

    def write(self, encoded: Sequence[Encoded]) -> None:
        """Add a part, atomically."""
        photos = [one.photo for one in encoded]
        table = {
            "path": [photo.path for photo in photos],
            "size": [photo.state[0] for photo in photos],
            "mtime_ns": [photo.state[1] for photo in photos],
            "sha256": [photo.sha256 for photo in photos],
            "outputs": [one.outputs.astype("<f4").tobytes() for one in encoded],
        }
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(table, schema=self.schema), buffer)
        numbers = [int(file.stem) for file in self.folder.glob("*.parquet")]
        write_bytes(self.folder / f"{max(numbers, default=-1) + 1:08}.parquet", buffer.getvalue().to_pybytes())

    @property
    def table(self) -> pd.DataFrame:
        """All photos of the parts, as in ROW and their `place` in the order of the parts; the last of equal states alone."""
        frames = [part.drop_columns(["outputs"]).to_pandas() for part in self._read()]
        rows = pd.concat([ROW.empty_table().to_pandas(), *frames], ignore_index=True)
        return rows.assign(place=np.arange(len(rows))).drop_duplicates(STATE, keep="last")

    def outputs(self) -> Iterator[NDArray[np.float32]]:
        """The outputs [n, L] of each part."""
        for part in self._read():
            yield np.frombuffer(b"".join(part["outputs"].to_pylist()), "<f4").reshape(len(part), self.bits)

    def mean(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The mean [L] of the outputs at these places, summed in double precision."""
        total, start, chosen = np.zeros(self.bits), 0, np.sort(places)
        for outputs in self.outputs():
            inside = chosen[(chosen >= start) & (chosen < start + len(outputs))] - start
            total, start = total + outputs[inside].sum(0, dtype=np.float64), start + len(outputs)
        return (total / max(1, len(places))).astype(np.float32)

    def codes(self, centre: NDArray[np.float32]) -> Codes:
        """The codes of all photos of the parts, by place."""
        return np.concatenate([np.empty((0, self.bits // 8), np.uint8), *(pack(each - centre) for each in self.outputs())])

    def _read(self) -> Iterator[pa.Table]:
        for file in sorted(self.folder.glob("*.parquet")):
            with suppress(pa.ArrowException, OSError, ValueError):  # a part broken on disk: its photos are encoded again
                part = pq.read_table(file, schema=self.schema, partitioning=None)
                part.validate(full=True)
                if not any(column.null_count for column in part.columns):
                    yield part
