"""COLMAP's numbering, and its failures."""

import numpy as np
import pycolmap
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.colmap import colmap, pair_ids, photo_pairs, query, share


def test_pair_numbers_are_colmaps_own():
    pairs = np.array([[0, 1], [0, 2], [41, 1_000_000]])
    expected = [pycolmap.image_pair_to_pair_id(a + 1, b + 1) for a, b in pairs]
    assert pair_ids(pairs).tolist() == expected
    assert photo_pairs(pair_ids(pairs)).tolist() == pairs.tolist()


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
