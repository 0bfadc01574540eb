"""What the steps share of COLMAP: its numbering, its silence, and its failures as one-line errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pycolmap

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line

Ids = TypeVar("Ids", int, np.ndarray)

LARGEST_ID = 2**31 - 1  # COLMAP's own: pair_id = LARGEST_ID * smaller image_id + larger image_id


@contextmanager
def colmap(doing: str) -> Iterator[None]:
    """COLMAP at work: its log is kept off the screen, and its failure becomes a StudyError."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    try:
        yield
    except (ValueError, RuntimeError, LookupError, sqlite3.Error) as error:
        raise StudyError(f"COLMAP failed in {doing}: {one_line(error, 1000)}") from error
    finally:
        pycolmap.logging.minloglevel = level


def image_name(photo_id: int) -> str:
    """The file name of a photo's copy, which is also its name in COLMAP's database and models."""
    return f"{photo_id:07d}.jpg"


def image_id(photo_id: Ids) -> Ids:
    """COLMAP counts images from 1, photos.parquet its rows from 0."""
    return photo_id + 1


def photo_id(image_id: Ids) -> Ids:
    return image_id - 1


def pair_ids(pairs: np.ndarray) -> np.ndarray:
    """COLMAP's number of each photo pair. pairs: int [n, 2], smaller photo_id first. Returns int64 [n]."""
    return LARGEST_ID * image_id(pairs[:, 0].astype(np.int64)) + image_id(pairs[:, 1])


def photo_pairs(pair_ids: np.ndarray) -> np.ndarray:
    """The inverse of `pair_ids`: int64 [n] -> int [n, 2]."""
    return photo_id(np.stack([pair_ids // LARGEST_ID, pair_ids % LARGEST_ID], axis=1))


def query(database: Path, sql: str) -> list[Any]:
    """Rows that a read of COLMAP's SQLite database gives, for what pycolmap has no call for."""
    with colmap(f"reading {database}"), closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def share(database: Path) -> None:
    """Let several machines read the database: COLMAP leaves it in SQLite's WAL mode, which those of one machine alone may.

    COLMAP itself takes it back to that mode when it opens it next. Raises StudyError where another has it open.
    """
    with colmap("sharing its database, which another process has open"):
        query(database, "PRAGMA journal_mode = DELETE")
