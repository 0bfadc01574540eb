"""3D models as views, stills and sizes: a made model of a red tower on blue ground, seen by cameras around it."""

import io

import numpy as np
import pandas as pd
import pycolmap
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from scipy.spatial.transform import Rotation

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.models import write_model
from bcdh_lib.report.figures import models, style
from bcdh_lib.report.figures.display import saved
from bcdh_lib.report.figures.models import read_model, upright

TILT = Rotation.from_euler("xyz", [100, 30, -50], degrees=True).as_matrix()  # from the upright world to the model's
POINTS = 600


def poses(count=9, tilt=TILT):
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
def folder(tmp_path_factory):
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
    write_model(model, path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return read_model(folder)


def test_a_model_is_turned_upright_whatever_way_colmap_left_it():
    for tilt in (TILT, np.eye(3), Rotation.from_euler("x", 180, degrees=True).as_matrix()):
        turn = upright(poses(tilt=tilt))
        assert np.allclose(turn @ tilt @ [0, 0, 1], [0, 0, 1], atol=0.02)
        assert np.isclose(np.linalg.det(turn), 1)
        assert np.allclose(turn @ turn.T, np.eye(3))
    assert (upright(poses(1)) @ TILT @ [0, 0, 1])[2] > 0.9  # one camera is enough


def test_a_model_loses_its_stray_point_and_keeps_up_to_so_many_others(model, folder, monkeypatch):
    assert model.total == POINTS + 1
    assert 0.9 * POINTS < len(model.points) <= POINTS
    assert np.ptp(model.points, axis=0).max() < 4
    red = model.colours[:, 0] > 0.5
    assert model.points[red, 2].min() > model.points[~red, 2].max()
    assert model.photo_ids == list(range(10, 19))
    monkeypatch.setattr(models, "MAX_POINTS", 50)
    assert len(read_model(folder).points) == 50


def test_cameras_are_where_they_were_and_look_at_the_tower(model):
    assert np.allclose(np.linalg.norm(model.cameras[:, 0, :2], axis=1), 6, atol=0.15)
    ahead = model.cameras[:, 1:].mean(1) - model.cameras[:, 0]
    assert ((ahead * -model.cameras[:, 0])[:, :2].sum(1) > 0).all()
    wide, high = (np.linalg.norm(model.cameras[:, 2] - model.cameras[:, corner], axis=1) for corner in (1, 3))
    assert np.allclose(wide / high, 240 / 320) or np.allclose(high / wide, 240 / 320)


def test_the_still_shows_what_is_above_above(model):
    file = saved(models.view_of(model).figure)
    picture = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    red, blue = (np.nonzero((picture == colour).all(2))[0].mean() for colour in ([255, 0, 0], [0, 0, 255]))
    assert red + 10 < blue
    assert saved(models.view_of(model).figure) == file


def test_the_view_holds_points_and_cameras_and_no_frame(model):
    view = models.turnable(model)
    cloud, cameras = view.data
    assert len(cloud.x) == len(cloud.marker.color) == len(model.points)
    assert set(cloud.marker.color) == {"#ff0000", "#0000ff"}
    assert len(cameras.x) == len(cameras.text) == 3 * 8 * len(model.photo_ids)
    assert np.isnan(cameras.x[2::3]).all()
    assert cameras.text[0] == "photo 10"
    assert not view.layout.scene.xaxis.visible
    assert view.to_json() == models.turnable(model).to_json()
    assert cloud.x.dtype == np.float32


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"dvc repro reconstruction"):
        read_model(tmp_path / "7")


def test_a_camera_of_implausible_focal_length_is_not_drawn(folder, model):
    """COLMAP ends with such ones if a photo has few points: drawn, their pyramids hide the model."""
    odd = pycolmap.Reconstruction(folder)
    for number, focal in ((2, 0.01), (3, 1e6)):
        odd.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(number, "PINHOLE", focal, 320, 240))
        image = pycolmap.Image(name=f"{100 + number:07d}.jpg", camera_id=number, image_id=100 + number)
        odd.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses()[0]))
    drawn = models.drawable(odd)
    assert drawn.photo_ids == model.photo_ids
    assert drawn.cameras.shape == model.cameras.shape


def test_a_model_grows_in_one_frame_though_colmap_moves_it(printed, folder):
    last, early = pycolmap.Reconstruction(folder), pycolmap.Reconstruction(folder)
    for number in early.reg_image_ids()[4:]:
        early.deregister_frame(early.images[number].frame_id)
    before = early.images[1].projection_center()
    early.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(), np.array([5.0, -2.0, 9.0])))
    assert np.allclose(models.aligned(early, last).images[1].projection_center(), before)
    figure, alt = printed(models.growth, [early, last])
    assert alt.startswith("A 3D model grows from 4 cameras and 601 points to 9 cameras")
    blue = to_rgba(style.BLUE)
    new = [sum(tuple(lines.get_color()[0]) == blue for lines in panel.collections[1:]) for panel in figure.axes[:2]]
    assert new == [4, 5]
    figure, _ = printed(models.growth, [])  # photos that give no model
    assert not figure.axes[0].lines


def registrations(models_of_groups):
    """Model m has m + 2 photos."""
    rows = [(100 * n + place, n, group) for group, members in models_of_groups.items() for n in members for place in range(n + 2)]
    return pd.DataFrame(rows, columns=["photo_id", "model_id", "group_id"])


def test_sizes_count_photos_and_mark_linked_models(printed):
    figure, alt = printed(models.sizes, registrations({0: [1, 4], 1: [5], 2: [2]}))
    assert alt == "Bars of 4 models in 3 groups, of 3 to 7 photos; 2 are linked."
    own, linked = figure.axes[0].containers
    assert [bar.get_height() for bar in own] == [0, 1, 0, 0, 1]  # of 3, 4, .. 7 photos
    assert [bar.get_height() for bar in linked] == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("count", [0, 1, 60])
def test_bars_of_few_and_of_many_models(printed, count):
    drawn = printed(models.sizes, registrations({number: [number] for number in range(count)}))
    assert sum(bar.get_height() for bar in drawn[0].axes[0].patches) == count
