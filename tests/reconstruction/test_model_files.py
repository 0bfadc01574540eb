"""COLMAP's models on disk: a sound one opens as COLMAP opens it; one whose counts lie, wherever it is cut, is named."""

import numpy as np
import pycolmap
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.model_files import RECORDS, open_model

SEEN = 3


@pytest.fixture
def folder(tmp_path):
    """Three cameras, two of one rig, that see three points."""
    model = pycolmap.Reconstruction()
    for number, kind in enumerate(("SIMPLE_RADIAL", "OPENCV", "PINHOLE"), start=1):
        model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(number, kind, 300, 320, 240))
        image = pycolmap.Image(name=f"{number}.jpg", camera_id=number, image_id=number)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(np.zeros(2)) for _ in range(SEEN)])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    for row in range(SEEN):
        track = pycolmap.Track()
        for number in (1, 2, 3):
            track.add_element(number, row)
        model.add_point3D(np.array([row, 0.0, 2.0]), track, np.zeros(3, np.uint8))
    model.write(tmp_path)
    return tmp_path


def test_a_sound_model_is_what_colmap_reads(folder):
    assert {path.name for path in folder.glob("*.bin")} == set(RECORDS)
    opened, read = open_model(folder), pycolmap.Reconstruction(folder)
    assert opened.summary() == read.summary()
    assert sorted(opened.points3D) == sorted(read.points3D)


@pytest.mark.parametrize("name", RECORDS)
def test_counts_that_lie_and_cuts_are_named(folder, name):
    whole = (folder / name).read_bytes()
    damaged = [(2**62).to_bytes(8, "little") + whole[8:], whole + b"0", *(whole[:cut] for cut in range(0, len(whole), 7))]
    for content in damaged:
        (folder / name).write_bytes(content)
        with pytest.raises(StudyError, match=rf"{name}: is no part of a model \(.*\); make it anew"):
            open_model(folder)
    (folder / name).write_bytes(whole)
    open_model(folder)


def test_a_model_that_does_not_hang_together_is_named(folder):
    points = (folder / "points3D.bin").read_bytes()
    nowhere = points[:16] + np.array([np.nan]).tobytes() + points[24:]
    for content, said in ((nowhere, "a point is nowhere"), (bytes(8), "sees points that are not there|not exist")):
        (folder / "points3D.bin").write_bytes(content)
        with pytest.raises(StudyError, match=rf"reading the model in {folder}: .*({said})"):
            open_model(folder)


def test_no_model_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"cameras\.bin: is no part of a model"):
        open_model(tmp_path)
