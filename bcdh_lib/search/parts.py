"""What an update of an index has encoded so far, in parts on disk, so that a killed update goes on from there."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.core.codes import Codes, pack
from bcdh_lib.core.files import write_bytes
from bcdh_lib.search.encoder import Seen
from bcdh_lib.search.photo_index import ROW, PhotoIndex

BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError)
"""What numpy raises for a file that is not as it was written."""
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

    def write(self, encoded: Sequence[Seen]) -> None:
        """Add a part, atomically."""
        rows = [(one.photo.path, *one.photo.state, one.photo.sha256) for one in encoded]
        columns = dict(zip(ROW.names, map(np.array, zip(*rows, strict=True)), strict=True))
        buffer = io.BytesIO()
        np.savez(buffer, outputs=np.array([one.values for one in encoded], np.float32), **columns)
        numbers = [int(file.stem) for file in self.folder.glob("*.npz")]
        write_bytes(self.folder / f"{max(numbers, default=-1) + 1:08}.npz", buffer.getvalue())

    @property
    def table(self) -> pd.DataFrame:
        """All photos of the parts, as in ROW and their `place` in the order of the parts; the last of equal states alone."""
        frames = [pd.DataFrame({name: part[name] for name in ROW.names}) for part in self._read()]
        rows = pd.concat([ROW.empty_table().to_pandas(), *frames], ignore_index=True)
        return rows.assign(place=np.arange(len(rows))).drop_duplicates(STATE, keep="last")

    def mean(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The mean [L] of the outputs at these places, summed in double precision."""
        total, start, chosen = np.zeros(self.bits), 0, np.sort(places)
        for part in self._read():
            outputs = part["outputs"]
            inside = chosen[(chosen >= start) & (chosen < start + len(outputs))] - start
            total, start = total + outputs[inside].sum(0, dtype=np.float64), start + len(outputs)
        return (total / max(1, len(places))).astype(np.float32)

    def codes(self, centre: NDArray[np.float32]) -> Codes:
        """The codes of all photos of the parts, by place."""
        none = np.empty((0, self.bits // 8), np.uint8)
        return np.concatenate([none, *(pack(part["outputs"] - centre) for part in self._read())])

    def _read(self) -> Iterator[dict[str, NDArray]]:
        for file in sorted(self.folder.glob("*.npz")):
            # A part broken on disk: its photos are encoded again.
            with suppress(*BROKEN), np.load(file, allow_pickle=False) as arrays:
                part = {name: arrays[name] for name in (*ROW.names, "outputs")}
                if part["outputs"].shape == (len(part["path"]), self.bits):
                    yield part
