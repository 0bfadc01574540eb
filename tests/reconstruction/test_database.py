"""COLMAP's database: numbering, failures, what excerpts hold and what comes back."""

import numpy as np
import pycolmap
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.database import colmap, copy_excerpt, image_id, pair_ids, query, share
from bcdh_lib.reconstruction.features import register_photos

from .conftest import make_study


def test_pair_numbers_are_colmaps_own():
    pairs = np.array([[0, 1], [0, 2], [41, 1_000_000]])
    assert pair_ids(pairs).tolist() == [pycolmap.image_pair_to_pair_id(a + 1, b + 1) for a, b in pairs]


def test_a_failure_is_one_line(tmp_path):
    level = pycolmap.logging.minloglevel
    with pytest.raises(StudyError, match=r"^COLMAP failed in reading a model: [^\n]+$"), colmap("reading a model"):
        pycolmap.Reconstruction(tmp_path / "none")
    assert pycolmap.logging.minloglevel == level


def test_a_shared_database_is_one_file_and_colmap_still_reads_it(tmp_path):
    database = tmp_path / "database.db"
    pycolmap.Database.open(database).close()
    assert query(database, "PRAGMA journal_mode") == [("wal",)]
    share(database)
    share(database)
    assert query(database, "PRAGMA journal_mode") == [("delete",)]
    assert [file.name for file in tmp_path.iterdir()] == ["database.db"]
    with pycolmap.Database.open(database) as entries:
        assert entries.num_images() == 0


@pytest.fixture
def database(tmp_path):
    """Photos 0 to 4 with photo_id + 3 features each, and a match of photos 0 and 1, 1 and 3, 3 and 4."""
    study = make_study(tmp_path, [Image.new("RGB", (320, 240))] * 5)
    register_photos(study, tmp_path / "whole.db", range(5))
    with pycolmap.Database.open(tmp_path / "whole.db") as entries:
        for photo in range(5):
            entries.write_keypoints(image_id(photo), np.full((photo + 3, 2), photo, np.float32))
        for a, b in [(0, 1), (1, 3), (3, 4)]:
            entries.write_matches(image_id(a), image_id(b), np.array([[a, b]], np.uint32))
    return tmp_path / "whole.db"


def pairs_of(path):
    return [pair for (pair,) in query(path, "SELECT pair_id FROM matches ORDER BY pair_id")]


def test_an_excerpt_holds_its_photos_and_pairs_alone(database, tmp_path):
    photos, pairs = np.array([1, 3]), np.array([[1, 3]])
    excerpt = copy_excerpt(database, tmp_path / "part.db", photos, pairs)
    assert query(excerpt, "SELECT image_id, name FROM images ORDER BY image_id") == [(2, "0000001.jpg"), (4, "0000003.jpg")]
    assert query(excerpt, "SELECT image_id, rows FROM keypoints ORDER BY image_id") == [(2, 4), (4, 6)]
    for table in ("cameras", "rigs", "frames"):
        assert query(excerpt, f"SELECT count(*) FROM {table}") == [(2,)]
    assert pairs_of(excerpt) == pair_ids(pairs).tolist()
    assert pairs_of(copy_excerpt(database, tmp_path / "bare.db", photos, pairs, without=["matches"])) == []
    empty = copy_excerpt(database, tmp_path / "empty.db", photos[:0])
    assert query(empty, "SELECT count(*) FROM images") == [(0,)]
