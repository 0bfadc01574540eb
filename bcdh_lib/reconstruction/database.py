"""COLMAP's database: its numbering, reads that pycolmap has no call for, and excerpts of some photos and pairs.

COLMAP works on everything in its database, so each process gets an excerpt with its own photos. COLMAP's failures become
one-line errors here.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pycolmap
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.study import Study

Ids = TypeVar("Ids", int, np.ndarray)

LARGEST_ID = 2**31 - 1
"""COLMAP's own: pair_id = LARGEST_ID * smaller image_id + larger image_id."""

FEATURES, MATCHES = ("keypoints", "descriptors"), ("matches", "two_view_geometries")
"""Tables with a row a photo, written by the extraction, and with a row a pair, written by the matching."""

ID_COLUMN = {"cameras": "camera_id", "rigs": "rig_id", "frames": "frame_id", "frame_data": "frame_id", "images": "image_id"}
ID_COLUMN |= dict.fromkeys(FEATURES, "image_id") | dict.fromkeys(MATCHES, "pair_id")
"""The column that identifies a photo (in all tables by the same number) or a pair."""


@contextmanager
def colmap(doing: str) -> Iterator[None]:
    """Run COLMAP without its log on the screen. Raises StudyError if COLMAP fails in `doing`."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    try:
        yield
    except (ValueError, RuntimeError, LookupError, sqlite3.Error) as error:
        said = one_line(error, 1000)
        fix = "; make room on the disk, and start again" if "disk" in said else ""  # SQLite: "database or disk is full"
        raise StudyError(f"COLMAP failed in {doing}: {said}{fix}") from error
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
    own = {"photos": image_id(photos), "pairs": np.zeros(0, np.int64) if pairs is None else pair_ids(pairs)}
    with closing(sqlite3.connect(target)) as excerpt, excerpt:
        excerpt.execute("ATTACH ? AS whole", (str(database),))
        for name, ids in own.items():
            excerpt.execute(f"CREATE TEMP TABLE own_{name} (id INTEGER PRIMARY KEY)")
            excerpt.executemany(f"INSERT INTO own_{name} VALUES (?)", ids[:, None].tolist())
        for table, column in ID_COLUMN.items():
            if table not in without:
                rows = f"IN own_{'pairs' if table in MATCHES else 'photos'}"
                excerpt.execute(f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE {column} {rows}")
    return target


def add_excerpt(tables: Sequence[str], database: Path, excerpt: Path) -> None:
    """Add an excerpt's rows of these tables to the database that it was copied from, in one transaction."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS excerpt", (str(excerpt),))
        with connection:
            for table in tables:
                connection.execute(f"INSERT INTO {table} SELECT * FROM excerpt.{table}")


def work_in_excerpts(
    work: Callable[[Study, Path, np.ndarray], None], study: Study, database: Path, missing: np.ndarray, at_once: int, bar: tqdm
) -> None:
    """Let run.threads processes work on `at_once` of the missing photos [n] or pairs [n, 2] at a time.

    Each works on one thread and an excerpt of the database, whose new rows are then added to it: COLMAP's extraction and
    matching do not repeat exactly on several threads. A killed run loses at most `at_once` pieces a process.
    work: study, excerpt, photos or pairs -> nothing.
    """
    jobs = [missing[start : start + at_once] for start in range(0, len(missing), at_once)]
    with bar, tempfile.TemporaryDirectory(dir=database.parent, prefix="excerpts-") as folder, colmap(f"writing {database}"):
        job = partial(_in_excerpt, work, study, database, Path(folder))
        try:
            for done, excerpt in side_by_side(job, jobs, study.params.run.threads):
                add_excerpt(FEATURES if missing.ndim == 1 else MATCHES, database, excerpt)
                excerpt.unlink()
                bar.update(done)
        except StudyError as error:
            raise StudyError(f"{database.parent}: {error}") from None


def _in_excerpt(
    work: Callable[[Study, Path, np.ndarray], None], study: Study, database: Path, folder: Path, pieces: np.ndarray
) -> tuple[int, Path]:
    """Work in a database of the pieces' photos alone. Returns the number of pieces, and the database.

    This process has no other work, so its stderr is closed: if the disk is full, COLMAP ends the process with a C++ trace.
    """
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    first = "-".join(map(str, pieces.flat[:2]))
    with colmap(f"extracting or matching the features of photo {first} and others"):
        excerpt = copy_excerpt(database, folder / f"{first}.db", np.unique(pieces))
        work(study, excerpt, pieces)
    return len(pieces), excerpt
