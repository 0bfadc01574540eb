"""Features: ids that follow photo_id, photos without any."""

import numpy as np
import pycolmap

from bcdh_lib.reconstruction.features import extract_features, read_descriptors

from .conftest import BLANK, UNREADABLE

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
    assert [(image.image_id, image.camera_id, image.name) for image in images] == [
        (photo + 1, photo + 1, f"{photo:07d}.jpg") for photo in (0, 1, 3, BLANK)
    ]
    assert focal == 1.2 * 320


def test_no_photos(study, tmp_path):
    assert len(extract_features(study, tmp_path / "database.db", np.zeros(0, np.int64).tolist())) == 0
