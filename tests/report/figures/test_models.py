"""3D models as views, stills and sizes: a made model of a red tower on blue ground, seen by cameras around it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.open3d_import import Open3dError, import_open3d
from bcdh_lib.report.figures import models
from bcdh_lib.report.figures.geometry import CORNERS, Model, clean, read_model, thin, upright, viewpoint

from .conftest import Printed

TILT = Rotation.from_euler("xyz", [100, 30, -50], degrees=True).as_matrix()  # from the upright world to the model's
POINTS = 600


def poses(count: int = 9, tilt: NDArray = TILT) -> NDArray:
    """Cameras [n, 3, 4] on three quarters of a circle, held level, looking slightly down at a tower; world turned by `tilt`."""
    made = []
    for angle in np.linspace(0, 1.5 * np.pi, count):
        centre = np.array([6 * np.cos(angle), 6 * np.sin(angle), 2.5])
        ahead = (np.array([0, 0, 1]) - centre) / np.linalg.norm(np.array([0, 0, 1]) - centre)
        across = np.cross(ahead, [0, 0, 1]) / np.linalg.norm(np.cross(ahead, [0, 0, 1]))
        turn = np.stack([across, np.cross(ahead, across), ahead])
        made.append(np.column_stack([turn @ tilt.T, -turn @ centre]))
    return np.array(made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/3: a red tower above a blue ground, one stray point far away, nine cameras."""
    generator = np.random.default_rng(0)
    tower = generator.uniform([-0.5, -0.5, 1], [0.5, 0.5, 3], (POINTS // 2, 3))
    ground = generator.uniform([-1.5, -1.5, 0], [1.5, 1.5, 0.1], (POINTS // 2, 3))
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 300, 320, 240))
    for number, pose in enumerate(poses()):
        image = pycolmap.Image(name=f"{10 + number:07d}.jpg", camera_id=1, image_id=number + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose))
    for place in tower:
        model.add_point3D(TILT @ place, pycolmap.Track(), np.array([255, 0, 0], np.uint8))
    for place in [*ground, [40, 40, 40]]:
        model.add_point3D(TILT @ np.asarray(place), pycolmap.Track(), np.array([0, 0, 255], np.uint8))
    path = tmp_path_factory.mktemp("models") / "3"
    path.mkdir()
    model.write(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    try:
        return read_model(folder)
    except Open3dError as error:
        pytest.skip(str(error))


def test_a_model_is_turned_upright_whatever_way_colmap_left_it() -> None:
    for tilt in (TILT, np.eye(3), Rotation.from_euler("x", 180, degrees=True).as_matrix()):
        turn = upright(poses(tilt=tilt))
        assert np.allclose(turn @ tilt @ [0, 0, 1], [0, 0, 1], atol=0.02)
        assert np.isclose(np.linalg.det(turn), 1)
        assert np.allclose(turn @ turn.T, np.eye(3))


def test_one_camera_says_which_way_is_up() -> None:
    assert (upright(poses(1)) @ TILT @ [0, 0, 1])[2] > 0.9


def test_a_model_loses_its_stray_point_and_keeps_the_others(model: Model) -> None:
    points, colours = np.asarray(model.cloud.points), np.asarray(model.cloud.colors)
    assert model.points == POINTS + 1
    assert 0.9 * POINTS < len(points) <= POINTS
    assert np.ptp(points, axis=0).max() < 4
    red = colours[:, 0] > 0.5
    assert points[red, 2].min() > points[~red, 2].max()
    assert str(model).startswith("3D model 3: ")
    assert model.photo_ids == list(range(10, 19))


def test_cameras_stand_where_they_stood_and_look_at_the_tower(model: Model) -> None:
    cameras = np.asarray(model.cameras.points).reshape(-1, CORNERS, 3)
    assert len(np.asarray(model.cameras.lines)) == 8 * len(cameras)
    assert np.allclose(np.linalg.norm(cameras[:, 0, :2], axis=1), 6, atol=0.15)
    ahead = cameras[:, 1:].mean(1) - cameras[:, 0]
    assert ((ahead * -cameras[:, 0])[:, :2].sum(1) > 0).all()


def test_a_camera_of_impossible_focal_length_is_counted_and_not_drawn(folder: Path, model: Model, tmp_path: Path) -> None:
    """COLMAP ends with such ones where a photo has few points: drawn, their pyramids hide the model."""
    odd = pycolmap.Reconstruction(folder)
    for number, focal in ((2, 0.01), (3, 1e6)):
        odd.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(number, "PINHOLE", focal, 320, 240))
        image = pycolmap.Image(name=f"{100 + number:07d}.jpg", camera_id=number, image_id=100 + number)
        odd.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses()[0]))
    (tmp_path / "3").mkdir()
    odd.write(tmp_path / "3")
    drawn = read_model(tmp_path / "3")
    assert (drawn.photo_ids, drawn.odd) == (model.photo_ids, 2)
    np.testing.assert_array_equal(np.asarray(drawn.cameras.points).shape, np.asarray(model.cameras.points).shape)
    assert str(drawn).endswith("; 2 cameras of impossible focal length not drawn")
    assert "focal" not in str(model)


def test_thinning_keeps_to_the_limit_and_nearly_reaches_it(model: Model) -> None:
    assert len(thin(model.cloud, 10_000).points) == len(model.cloud.points)
    for limit in (300, 20, 1):
        assert limit / 2 < len(thin(model.cloud, limit).points) <= limit


def test_cleaning_a_handful_of_points_leaves_some() -> None:
    open3d = import_open3d()
    assert len(clean(open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.eye(3)))).points) == 3


def test_the_eye_sees_every_point_and_most_cameras(model: Model) -> None:
    view = viewpoint(model, aspect=1.5)
    everything = np.concatenate([np.asarray(model.cloud.points), np.asarray(model.cameras.points)])
    x, y, z = view.pose[:3, :3] @ everything.T + view.pose[:3, 3:]
    slope = np.tan(np.radians(22.5))
    place = np.maximum(np.abs(x / z) / (1.5 * slope), np.abs(y / z) / slope)  # 1: at the picture's edge
    inside = place < 1
    assert inside[: len(model.cloud.points)].all()
    assert inside.mean() > 0.9
    assert place[inside].max() > 0.9
    assert (z > 0).all()
    assert (np.abs(everything - view.target) <= view.reach + 1e-9).all()


def test_the_still_shows_what_is_above_above(model: Model) -> None:
    file = models.still(model, (320, 200))
    picture = np.asarray(Image.open(io.BytesIO(file))).astype(int)
    assert picture.shape == (200, 320, 3)
    rows = {
        name: np.nonzero((picture == colour).all(2))[0].mean() for name, colour in (("red", [255, 0, 0]), ("blue", [0, 0, 255]))
    }
    assert rows["red"] + 10 < rows["blue"]
    assert (picture[0] == 255).all()
    assert models.still(model, (320, 200)) == file


def test_the_view_holds_points_and_cameras_and_no_frame(model: Model) -> None:
    view = models.turnable(model)
    cloud, cameras = view.data
    assert len(cloud.x) == len(cloud.marker.color) == len(model.cloud.points)
    assert set(cloud.marker.color) == {"#ff0000", "#0000ff"}
    assert len(cameras.x) == len(cameras.text) == 3 * 8 * len(model.photo_ids)
    assert np.isnan(cameras.x[2::3]).all()
    assert cameras.text[0] == "photo 10"
    assert not view.layout.scene.xaxis.visible
    assert view.to_json() == models.turnable(model).to_json()
    assert cloud.x.dtype == np.float32
    assert len(json.dumps(view.to_json())) < 200_000


def test_the_largest_view_stays_below_three_megabytes(model: Model) -> None:
    open3d = import_open3d()
    places = np.random.default_rng(0).normal(size=(30_000, 3))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(places))
    cloud.colors = open3d.utility.Vector3dVector(np.abs(places).clip(0, 1))
    assert len(models.turnable(Model(0, cloud, model.cameras, model.photo_ids, 30_000)).to_json()) < 3e6


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"7: holds no model .* dvc repro reconstruction"):
        read_model(tmp_path / "7")


def tables(models_of_groups: dict[int, list[int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """registrations and tracks: model m has m + 2 photos and 10 m points, all of which its first two photos see."""
    photos, tracks = [], []
    for group, members in models_of_groups.items():
        for number in members:
            for place in range(number + 2):
                photos.append({"photo_id": 100 * number + place, "model_id": number, "group_id": group})
                tracks += [(100 * number + place, 1000 * number + point) for point in range(10 * number) if place < 2]
    columns = ["photo_id", "model_id", "group_id"]
    return pd.DataFrame(photos, columns=columns), pd.DataFrame(tracks, columns=["photo_id", "point_id"])


def test_sizes_count_photos_and_points_and_keep_groups_together() -> None:
    sizes = models.model_sizes(*tables({0: [1, 4], 1: [5], 2: [2]}))
    assert sizes["model_id"].tolist() == [4, 1, 5, 2]  # the group of 9 photos, then those of 7 and of 4
    assert sizes["photos"].tolist() == [6, 3, 7, 4]
    assert sizes["points"].tolist() == [40, 10, 50, 20]
    assert sizes["linked"].tolist() == [True, True, False, False]


def test_bars_of_sizes(printed: Printed) -> None:
    drawn = printed(models.sizes, *tables({0: [1, 4], 1: [5], 2: [2]}))
    assert drawn[1].startswith("Bars of 4 models in 3 groups: 3 to 7 photos and 10 to 50 3D points")
    assert [bar.get_height() for bar in drawn[0].axes[0].patches] == [6, 3, 7, 4]


@pytest.mark.parametrize("count", [0, 1, 60])
def test_bars_of_few_and_of_many_models(printed: Printed, count: int) -> None:
    drawn = printed(models.sizes, *tables({number: [number] for number in range(count)}))
    assert len(drawn[0].axes[0].patches) == min(count, models.SHOWN)


def test_photos_in_no_model(printed: Printed, image: Callable[[int], Path]) -> None:
    photos, registrations = pd.DataFrame({"photo_id": range(40)}), pd.DataFrame({"photo_id": range(0, 40, 2)})
    drawn = printed(models.unregistered, photos, registrations, image, shown=3)
    assert drawn[1] == "3 of the 20 photos in no model, of 40 in all."
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["1", "21", "39"]
    printed(models.unregistered, photos, photos, image)
