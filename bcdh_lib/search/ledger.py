"""What an update of an index knows of the photos, by path, in a file: memory holds a block of them, however many there are.

The ledger itself (SQLite) is made anew by every update. What outlives a kill are the notes: text, a line a photo that was encoded
or left out, appended by each process to a file of its own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from bcdh_lib.photos.folder import Job, LeftOut, Photo, state_of
from bcdh_lib.search.encoder import Encoded, Outputs

BLOCK = 1 << 16
"""Photos held at once."""

TABLES = """
CREATE TABLE found (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE before (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, row INTEGER) WITHOUT ROWID;
CREATE TABLE kept (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, row INTEGER) WITHOUT ROWID;
CREATE TABLE encoded (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, outputs BLOB) WITHOUT ROWID;
CREATE TABLE left_out (path TEXT PRIMARY KEY, reason TEXT, detail TEXT) WITHOUT ROWID;
"""
COLUMNS = {"found": 3, "before": 5, "encoded": 5, "left_out": 3}
KEEP = "INSERT INTO kept SELECT before.* FROM before JOIN found USING (path, size, mtime_ns)"
STALE = """DELETE FROM encoded WHERE path IN (SELECT path FROM kept)
OR path NOT IN (SELECT path FROM encoded JOIN found USING (path, size, mtime_ns))"""
MISSING = """SELECT path FROM found WHERE NOT EXISTS (SELECT 1 FROM kept WHERE kept.path = found.path)
AND NOT EXISTS (SELECT 1 FROM encoded WHERE encoded.path = found.path)"""
ROWS = """SELECT path, size, mtime_ns, sha256, row, NULL AS outputs FROM kept
UNION ALL SELECT path, size, mtime_ns, sha256, -1, outputs FROM encoded ORDER BY path"""


@dataclass(frozen=True)
class _Encoded:
    """The line of a photo that was encoded."""

    photo: Photo
    outputs: str  # float32, little-endian, in base64


@dataclass(frozen=True)
class _LeftOut:
    """The line of a file that was left out."""

    left_out: LeftOut


NOTED: TypeAdapter[_Encoded | _LeftOut] = TypeAdapter(_Encoded | _LeftOut)
"""A line of the notes, to be read back."""


class Ledger:
    """The photos found now, the index's rows of before, and what has been encoded since, to outputs of so many bits."""

    def __init__(self, path: Path, bits: int) -> None:
        path.unlink(missing_ok=True)
        self._bits = bits
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {TABLES} BEGIN;")
        self._read: dict[Path, int] = {}  # how far each file of notes has been read, in bytes

    def close(self) -> None:
        self._database.close()

    def begin(self, found: Iterable[Job | LeftOut], before: Iterable[pd.DataFrame], anew: bool, notes: Iterable[Path]) -> None:
        """Enter what is found now, the rows of before in their order, and what a killed update noted.

        Rows hold where the file's state is theirs, none of them where all is made anew; notes likewise.
        """
        self.read(notes)
        self._database.execute("DELETE FROM left_out")  # they are tried again
        self._enter("found", (row for one in found if (row := self._found(one))))
        first = 0
        for rows in before:
            numbered = rows.assign(row=range(first, first + len(rows)))
            self._enter("before", numbered[["path", "size", "mtime_ns", "sha256", "row"]].itertuples(index=False, name=None))
            first += len(rows)
        if not anew:
            self._database.execute(KEEP)
        self._database.execute(STALE)

    def _found(self, one: Job | LeftOut) -> tuple[str, int | None, int | None] | None:
        if isinstance(one, LeftOut):
            self._enter("left_out", [(one.path, one.reason, one.detail)])
            return None
        with contextlib.suppress(OSError):
            size, mtime_ns = state_of(os.stat(one[1]))
            return one[0], size, mtime_ns
        return one[0], None, None  # gone, or a link to nowhere: whoever reads it will say so

    def _enter(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        places = ", ".join("?" * COLUMNS[table])
        self._database.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)

    def missing(self) -> Iterator[str]:
        """The paths of the photos found that are neither kept nor encoded, in order."""
        return (path for (path,) in self._database.execute(f"{MISSING} ORDER BY path"))

    def unaccounted(self) -> int:
        """How many photos are found and neither kept, encoded nor left out."""
        return self._count(f"SELECT COUNT(*) FROM ({MISSING}) WHERE path NOT IN (SELECT path FROM left_out)")

    def read(self, notes: Iterable[Path]) -> None:
        """Enter what was noted since the last reading; a line that a kill cut, or that is not so, is passed over."""
        for file in notes:
            with open(file, "rb") as lines:
                lines.seek(self._read.get(file, 0))
                for line in lines:
                    with contextlib.suppress(ValueError, OverflowError):  # the latter: an integer that SQLite has no room for
                        self._note(NOTED.validate_json(line, strict=True))
                self._read[file] = lines.tell()

    def _note(self, one: _Encoded | _LeftOut) -> None:
        if isinstance(one, _LeftOut):
            self._enter("left_out", [(one.left_out.path, one.left_out.reason, one.left_out.detail)])
            return
        size, mtime_ns = one.photo.state
        stored = base64.b64decode(one.outputs, validate=True)
        outputs = np.frombuffer(stored, "<f4")
        if outputs.shape == (self._bits,) and np.isfinite(outputs).all():
            self._enter("encoded", [(one.photo.path, size, mtime_ns, one.photo.sha256, stored)])

    def rows(self) -> Iterator[tuple[pd.DataFrame, Outputs]]:
        """The photos there are now, by path, in blocks: path, size, mtime_ns, sha256, and the `row` of before, -1 of the encoded.

        With them come the outputs [encoded, L] of these.
        """
        cursor = self._database.execute(ROWS)
        while block := cursor.fetchmany(BLOCK):
            table = pd.DataFrame(block, columns=["path", "size", "mtime_ns", "sha256", "row", "outputs"])
            stored = table.pop("outputs")[table["row"] < 0]
            yield table, np.frombuffer(b"".join(stored), "<f4").reshape(len(stored), self._bits)

    def left_out(self) -> list[LeftOut]:
        """What was left out, by path."""
        return [LeftOut(*row) for row in self._database.execute("SELECT * FROM left_out ORDER BY path")]

    def counts(self) -> dict[str, int]:
        """Photos that are there now, that are new, that were encoded again, and rows of before that are gone."""
        again = self._count("SELECT COUNT(*) FROM encoded WHERE path IN (SELECT path FROM before)")
        encoded, kept = self._count("SELECT COUNT(*) FROM encoded"), self._count("SELECT COUNT(*) FROM kept")
        gone = self._count("SELECT COUNT(*) FROM before") - kept - again
        return {"photos": kept + encoded, "new": encoded - again, "anew": again, "gone": gone}

    def _count(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])


def note(one: Encoded | LeftOut) -> str:
    """The line that notes what became of a file."""
    if isinstance(one, LeftOut):
        return json.dumps(asdict(_LeftOut(one))) + "\n"
    outputs = base64.b64encode(one.outputs.astype("<f4").tobytes()).decode()
    return json.dumps(asdict(_Encoded(one.photo, outputs))) + "\n"
