"""COLMAP's database: its numbering, reads that pycolmap has no call for, and excerpts of some photos and pairs.

COLMAP works on everything in its database, so each process gets an excerpt with its own photos. COLMAP's failures become
one-line errors here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pycolmap

from bcdh_lib.core.errors import StudyError, one_line

Ids = TypeVar("Ids", int, np.ndarray)

LARGEST_ID = 2**31 - 1
"""COLMAP's own: pair_id = LARGEST_ID * smaller image_id + larger image_id."""

FEATURES = ("keypoints", "descriptors")
"""Tables with a row a photo, written by the extraction."""

MATCHES = ("matches", "two_view_geometries")
"""Tables with a row a pair, written by the matching."""

ID_COLUMN = {
    "cameras": "camera_id",
    "rigs": "rig_id",
    "frames": "frame_id",
    "frame_data": "frame_id",
    "images": "image_id",
    "keypoints": "image_id",
    "descriptors": "image_id",
}
"""The column that identifies a photo in each table. A photo has the same number in all of them."""


@contextmanager
def colmap(doing: str) -> Iterator[None]:
    """Run COLMAP without its log on the screen. Raises StudyError if COLMAP fails in `doing`."""
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
    """The inverse of `image_id`."""
    return image_id - 1


def pair_ids(pairs: np.ndarray) -> np.ndarray:
    """COLMAP's number of each photo pair. pairs: int [n, 2], smaller photo_id first. Returns int64 [n]."""
    return LARGEST_ID * image_id(pairs[:, 0].astype(np.int64)) + image_id(pairs[:, 1])


def query(database: Path, sql: str) -> list[Any]:
    """The rows that an SQL statement returns. Raises StudyError."""
    with colmap(f"reading {database}"), closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def share(database: Path) -> None:
    """Let several machines read the database: COLMAP leaves it in SQLite's WAL mode, which works on one machine only.

    COLMAP itself sets WAL mode again when it next opens the database. Raises StudyError if another process has it open.
    """
    with colmap("sharing its database, which another process has open"):
        query(database, "PRAGMA journal_mode = DELETE")


def copy_excerpt(
    database: Path, target: Path, photos: np.ndarray, pairs: np.ndarray | None = None, without: Sequence[str] = ()
) -> Path:
    """Write a COLMAP database of these photos, and of the matches of these pairs, to `target`.

    photos: ids, int [n]; pairs: photo ids, int [pairs, 2]; without: tables to leave empty. Returns `target`.
    """
    pycolmap.Database.open(target).close()
    own_pairs = np.zeros(0, np.int64) if pairs is None else pair_ids(pairs)
    wanted = {table: (column, "own_photos") for table, column in ID_COLUMN.items()}
    wanted |= dict.fromkeys(MATCHES, ("pair_id", "own_pairs"))
    with closing(sqlite3.connect(target)) as excerpt, excerpt:
        excerpt.execute("ATTACH ? AS whole", (str(database),))
        for name, ids in (("own_photos", image_id(photos)), ("own_pairs", own_pairs)):
            excerpt.execute(f"CREATE TEMP TABLE {name} (id INTEGER PRIMARY KEY)")
            excerpt.executemany(f"INSERT INTO {name} VALUES (?)", ids[:, None].tolist())
        for table, (column, own) in wanted.items():
            if table not in without:
                excerpt.execute(f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE {column} IN {own}")
    return target


def add_excerpt(tables: Sequence[str], database: Path, excerpt: Path) -> None:
    """Add an excerpt's rows of these tables to the database that it was copied from, in one transaction."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS excerpt", (str(excerpt),))
        with connection:
            for table in tables:
                connection.execute(f"INSERT INTO {table} SELECT * FROM excerpt.{table}")
