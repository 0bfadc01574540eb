"""Excerpts of a database: what they hold, and what comes back."""

import numpy as np
import pycolmap

from bcdh_lib.reconstruction.colmap import image_id, pair_ids, query
from bcdh_lib.reconstruction.excerpts import MATCHES, copy_excerpt, take


def make_database(path, pairs) -> None:
    """Photos 0 to 4 with photo_id + 3 features each, and one match of each pair."""
    with pycolmap.Database.open(path) as entries:
        for photo in range(5):
            number = image_id(photo)
            camera = pycolmap.Camera.create_from_model_name(number, "SIMPLE_RADIAL", 400, 320, 240)
            entries.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig(rig_id=number)
            rig.add_ref_sensor(camera.sensor_id)
            entries.write_rig(rig, use_rig_id=True)
            image = pycolmap.Image(name=f"{photo}.jpg", camera_id=number, image_id=number)
            entries.write_image(image, use_image_id=True)
            frame = pycolmap.Frame(frame_id=number, rig_id=number)
            frame.add_data_id(image.data_id)
            entries.write_frame(frame, use_frame_id=True)
            entries.write_keypoints(number, np.full((photo + 3, 2), photo, np.float32))
        for a, b in pairs:
            entries.write_matches(image_id(a), image_id(b), np.array([[a, b]], np.uint32))


def pairs_of(path):
    return [pair for (pair,) in query(path, "SELECT pair_id FROM matches ORDER BY pair_id")]


def test_an_excerpt_holds_its_photos_and_pairs_alone(tmp_path):
    make_database(tmp_path / "whole.db", [(0, 1), (1, 3), (3, 4)])
    excerpt = copy_excerpt(tmp_path / "whole.db", tmp_path / "part.db", np.array([1, 3]), np.array([[1, 3]]))
    assert query(excerpt, "SELECT image_id, name FROM images ORDER BY image_id") == [(2, "1.jpg"), (4, "3.jpg")]
    assert query(excerpt, "SELECT image_id, rows FROM keypoints ORDER BY image_id") == [(2, 4), (4, 6)]
    for table in ("cameras", "rigs", "frames"):
        assert query(excerpt, f"SELECT count(*) FROM {table}") == [(2,)]
    assert pairs_of(excerpt) == pair_ids(np.array([[1, 3]])).tolist()
    bare = copy_excerpt(tmp_path / "whole.db", tmp_path / "bare.db", np.array([1, 3]), np.array([[1, 3]]), leave=["matches"])
    assert pairs_of(bare) == []


def test_the_matches_of_an_excerpt_come_back(tmp_path):
    make_database(tmp_path / "whole.db", [(0, 1)])
    excerpt = copy_excerpt(tmp_path / "whole.db", tmp_path / "part.db", np.array([1, 3]))
    assert pairs_of(excerpt) == []
    with pycolmap.Database.open(excerpt) as entries:
        entries.write_matches(image_id(1), image_id(3), np.array([[2, 5]], np.uint32))
    take(MATCHES, tmp_path / "whole.db", excerpt)
    assert pairs_of(tmp_path / "whole.db") == pair_ids(np.array([[0, 1], [1, 3]])).tolist()


def test_an_excerpt_of_nothing(tmp_path):
    make_database(tmp_path / "whole.db", [(0, 1)])
    excerpt = copy_excerpt(tmp_path / "whole.db", tmp_path / "part.db", np.zeros(0, np.int64))
    assert query(excerpt, "SELECT count(*) FROM images") == [(0,)]
