"""Excerpts of COLMAP's database: some photos alone, because COLMAP works on all that its database holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pycolmap

from bcdh_lib.reconstruction.colmap import image_id, pair_ids

# The column that COLMAP's tables name a photo by (it has one number in all of them).
PHOTO = {
    "cameras": "camera_id",
    "rigs": "rig_id",
    "frames": "frame_id",
    "frame_data": "frame_id",
    "images": "image_id",
    "keypoints": "image_id",
    "descriptors": "image_id",
}
FEATURES = ("keypoints", "descriptors")  # by image_id
MATCHES = ("matches", "two_view_geometries")  # by pair_id


def copy_excerpt(
    database: Path, target: Path, photos: np.ndarray, pairs: np.ndarray | None = None, leave: Sequence[str] = ()
) -> Path:
    """Write to `target` a COLMAP database of these photos, and of the matches of these pairs.

    photos: ids, int [n]; pairs: photo ids, int [pairs, 2]; leave: tables to leave empty. Returns `target`.
    """
    pycolmap.Database.open(target).close()
    own_pairs = np.zeros(0, np.int64) if pairs is None else pair_ids(pairs)
    wanted = {table: (column, "own_photos") for table, column in PHOTO.items()}
    wanted |= dict.fromkeys(MATCHES, ("pair_id", "own_pairs"))
    with closing(sqlite3.connect(target)) as excerpt, excerpt:
        excerpt.execute("ATTACH ? AS whole", (str(database),))
        for name, ids in (("own_photos", image_id(photos)), ("own_pairs", own_pairs)):
            excerpt.execute(f"CREATE TEMP TABLE {name} (id INTEGER PRIMARY KEY)")
            excerpt.executemany(f"INSERT INTO {name} VALUES (?)", ids[:, None].tolist())
        for table, (column, own) in wanted.items():
            if table not in leave:
                excerpt.execute(f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE {column} IN {own}")
    return target


def take(tables: Sequence[str], database: Path, excerpt: Path) -> None:
    """Add what an excerpt has in these tables to the database it was copied from, all or none of it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS excerpt", (str(excerpt),))
        with connection:
            for table in tables:
                connection.execute(f"INSERT INTO {table} SELECT * FROM excerpt.{table}")
