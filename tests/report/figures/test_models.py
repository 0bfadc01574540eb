"""3D models and the pairs that they give, as views, stills and sizes: a made tower, and points that photos share."""

import io
from itertools import permutations

import numpy as np
import pandas as pd
import pycolmap
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from scipy.spatial.transform import Rotation

from bcdh_lib.core.tables import write_table
from bcdh_lib.reconstruction.models import write_model
from bcdh_lib.report.figures import models, pairs, style
from bcdh_lib.report.figures.display import saved
from bcdh_lib.report.figures.models import read_model, upright
from bcdh_lib.study import Study

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


def table(count=20):
    """Pair i joins photos 2 i and 2 i + 1 of model i mod 3, and shares 1 - i / count of the query's points."""
    place = np.arange(count)
    photos = {"query_id": 2 * place, "positive_id": 2 * place + 1, "model_id": place % 3}
    shared = {"shared_points": 100 - place, "shared_share": 1 - place / count, "scale_change": 1 + place / 100}
    return pd.DataFrame(photos | shared)


def words_of(drawn):
    return [text.get_text() for text in drawn[0].axes[0].texts]


def test_similar_pairs_run_from_easy_to_hard(printed, image):
    drawn = printed(pairs.similar_gallery, table().sample(frac=1, random_state=0), image, shown=4)
    words = words_of(drawn)
    assert words[:2] == ["shares 100%", "scale × 1.00"]
    assert words[-2:] == ["shares 5%", "scale × 1.19"]
    assert drawn[1].startswith("4 similar pairs of 20")
    published = table(3).assign(shared_share=np.nan, shared_points=pd.array([pd.NA] * 3, "Int32"), scale_change=np.nan)
    assert words_of(printed(pairs.similar_gallery, published, image)) == ["not known"] * 3


def test_each_pair_has_its_verdict_and_other_thresholds_their_count(printed, params):
    rule = params.pairs.model_copy(update={"min_shared": 0.5, "max_scale_change": 1.05})
    every = pairs.judged(table().assign(query_id=7), rule)
    assert every["verdict"].value_counts().to_dict() == {"scales differ": 14, "similar": 6}
    of_all_scales = pairs.judged(table(), rule.model_copy(update={"max_scale_change": 2.0}))["verdict"].tolist()
    assert of_all_scales[9:11] == ["similar", "shares at most 50%"]
    figure, alt = printed(pairs.thresholds, every, 7, rule)
    assert alt.startswith("6 of 20 photos that share points with photo 7 are similar")
    within, anyhow = (line.get_ydata() for line in figure.axes[1].lines[:2])
    assert (within[0], anyhow[0]) == (6, 20)
    assert anyhow[50] == sum(1 - place / 20 > 0.5 for place in range(20))


def test_hard_pairs_lie_across_groups_and_show_no_photo_twice(printed, image):
    members = pd.DataFrame({"photo_id": range(12), "group_id": np.repeat([0, 1, 2], 4)})
    # 0, 1: one group; 0, 5: photo 0 again; 2, 30: photo 30 in no model
    matches = {"photo_id": [0, 0, 0, 1, 2, 3], "other_id": [1, 4, 5, 8, 30, 9], "inliers": [300, 12, 11, 1, 200, 0]}
    drawn = printed(pairs.dissimilar_gallery, members, image, pd.DataFrame(matches))
    assert words_of(drawn) == ["12 verified matches", "1 verified match"]
    assert drawn[1].startswith("3 hard dissimilar pairs")


SEEN = {3: {0: (10, 20), 1: (30, 5), 2: (58, 38)}, 7: {1: (20.5, 7), 3: (1, 1), 0: (2, 59)}, 9: {3: (4, 4)}}
"""Photo, 3D point: where it is seen (px)."""


@pytest.fixture
def seen_model():
    """Photos 3, 7 and 9, each with a keypoint of no 3D point first, then those of SEEN."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 50, 60, 40))
    for photo, seen in SEEN.items():
        image = pycolmap.Image(name=f"{photo:07d}.jpg", camera_id=1, image_id=photo + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(np.array(place)) for place in [(0, 0), *seen.values()]])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    for point in range(4):
        track = pycolmap.Track()
        for photo, seen in SEEN.items():
            if point in seen:
                track.add_element(photo + 1, 1 + list(seen).index(point))
        model.add_point3D(np.zeros(3), track, np.zeros(3, np.uint8))
    return model


@pytest.fixture
def connected():
    """Photos 0 to 4 of model 0, every pair of them; 10 to 12 of model 1; 20 and 21 of model 2."""
    rows = [
        (query, positive, model, 60 - positive, (60 - positive) / 100, 1 + positive / 10)
        for model, photos in enumerate((range(5), range(10, 13), range(20, 22)))
        for query, positive in permutations(photos, 2)
    ]
    return pd.DataFrame(rows, columns=["query_id", "positive_id", "model_id", "shared_points", "shared_share", "scale_change"])


def test_shared_points_are_where_both_photos_observe_them(seen_model):
    first, second = pairs.shared_points(seen_model, 3, 7)
    seen = dict(zip(map(tuple, first.tolist()), map(tuple, second.tolist()), strict=True))
    assert seen == {(10, 20): (2, 59), (30, 5): (20.5, 7)}
    assert [each.tolist() for each in pairs.shared_points(seen_model, 7, 3)] == [second.tolist(), first.tolist()]
    assert [each.shape for each in pairs.shared_points(seen_model, 3, 9)] == [(0, 2), (0, 2)]


def test_one_query_for_each_model_from_many_positives_to_few(connected, monkeypatch):
    assert pairs.best_connected(connected, 4) == [0]  # no photo of another model has three positives
    assert pairs.best_connected(connected[connected["model_id"] > 0], 4) == [10, 20]
    monkeypatch.setattr(pairs, "SHOWN", 1)
    assert pairs.best_connected(connected, 4) == [0, 10, 20]
    assert pairs.best_connected(connected, 2) == [0, 20]
    assert pairs.best_connected(connected.iloc[:0], 2) == []


@pytest.fixture
def opened(tmp_path, params, seen_model, connected):
    """A study whose model 0 is that of SEEN, with photos of 60 x 40 px."""
    study = Study(tmp_path, params)
    pairs_of_model = connected.head(3).assign(query_id=3, positive_id=[7, 9, 7], shared_share=[0.9, 0.1, 0.5], model_id=0)
    write_table(study.pairs, "pairs", pairs_of_model.iloc[:2])
    write_model(seen_model, study.reconstruction / "models/0")
    for photo in SEEN:
        study.image(photo).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(study.image(photo))
    return study


def test_points_are_marked_where_the_photos_show_them(opened):
    (drawn,) = pairs.query_pairs(opened, [3])
    assert drawn.alt.startswith("Photo 3 above 2 photos")
    photos = [picture.get_extent() for picture in drawn.figure.axes[0].images]  # photo 3, again, then 7 and 9
    marks = [line.get_xydata() for line in drawn.figure.axes[0].lines if line.get_marker() == "o"]
    seen = dict(zip((0, 2, 1, 3), marks, strict=True))
    for place, expected in ((0, [(10, 20), (30, 5)]), (2, [(2, 59), (20.5, 7)])):
        left, right, _, top = photos[place]
        scale = (right - left) / 60
        assert np.allclose(seen[place], [(left + x * scale, top + y * scale) for x, y in expected])
    assert seen[1].size == seen[3].size == 0
    joins = [line.get_xydata() for line in drawn.figure.axes[0].lines if line.get_marker() != "o"]
    assert all(any(np.allclose(join, ends) for ends in zip(seen[0], seen[2], strict=True)) for join in joins)
    with pytest.raises(ValueError, match=r"photo 6 has no pairs; photos that have: 3"):
        pairs.query_pairs(opened, [3, 6])
