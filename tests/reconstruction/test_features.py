"""Features: ids that follow photo_id, photos without any, a full disk."""

import resource

import pycolmap
import pytest

from bcdh_lib.core.errors import StudyError
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
