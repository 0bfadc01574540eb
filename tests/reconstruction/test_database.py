"""COLMAP's database: numbering, failures, what excerpts hold and what comes back; features by photo, and a full disk."""

import resource

import numpy as np
import pycolmap
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.database import colmap, copy_excerpt, image_id, pair_ids, query, share
from bcdh_lib.reconstruction.features import extract_features, read_descriptors, register_photos

from .conftest import BLANK, UNREADABLE, make_study


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


PHOTOS = [0, 1, UNREADABLE, 3, BLANK]


def test_features_by_photo(study, tmp_path):
    database = tmp_path / "database.db"
    features = extract_features(study, database, PHOTOS)
    assert features.index.tolist() == PHOTOS
    assert (features[[0, 1, 3]] > 100).all()
    assert features[[UNREADABLE, BLANK]].tolist() == [0, 0]
    assert [len(each) for each in read_descriptors(database, PHOTOS)] == features.tolist()
    with pycolmap.Database.open(database) as entries:
        images = entries.read_all_images()
        focal = entries.read_camera(1).mean_focal_length()
    # The unreadable photo 2 leaves a gap: photo 3 is image 4 with camera 4, as if it could be read.
    expected = [(photo + 1, photo + 1, f"{photo:07d}.jpg") for photo in (0, 1, 3, BLANK)]
    assert [(image.image_id, image.camera_id, image.name) for image in images] == expected
    assert focal == 1.2 * 320


def test_a_full_disk_is_one_line(study, tmp_path, capfd):
    """Files that may not grow stand for the disk; COLMAP itself would end its process with a C++ trace."""
    free, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    try:
        with pytest.raises(StudyError) as fault:
            extract_features(study, tmp_path / "database.db", PHOTOS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, most))
    assert str(fault.value).startswith(str(tmp_path))
    shown = [*capfd.readouterr().err.replace("\r", "\n").split("\n"), *str(fault.value).split("\n")[1:]]
    assert [line for line in shown if line and not line.startswith("features")] == []
