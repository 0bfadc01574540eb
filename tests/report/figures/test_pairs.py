"""The pairs, as figures."""

import numpy as np
import pandas as pd
import pycolmap
import pytest
from PIL import Image

from bcdh_lib.core.tables import write_table
from bcdh_lib.reconstruction.models import write_model
from bcdh_lib.report.figures import pairs
from bcdh_lib.study import Study


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


SEEN = {
    3: {0: (10, 20), 1: (30, 5), 2: (58, 38)},
    7: {1: (20.5, 7), 3: (1, 1), 0: (2, 59)},
    9: {3: (4, 4)},
}
"""Photo, 3D point: where it is seen (px)."""


@pytest.fixture
def model():
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
        for query in photos
        for positive in photos
        if query != positive
    ]
    return pd.DataFrame(rows, columns=["query_id", "positive_id", "model_id", "shared_points", "shared_share", "scale_change"])


def test_shared_points_are_where_both_photos_observe_them(model):
    first, second = pairs.shared_points(model, 3, 7)
    seen = dict(zip(map(tuple, first.tolist()), map(tuple, second.tolist()), strict=True))
    assert seen == {(10, 20): (2, 59), (30, 5): (20.5, 7)}
    assert [each.tolist() for each in pairs.shared_points(model, 7, 3)] == [second.tolist(), first.tolist()]
    assert [each.shape for each in pairs.shared_points(model, 3, 9)] == [(0, 2), (0, 2)]


def test_one_query_for_each_model_from_many_positives_to_few(connected, monkeypatch):
    assert pairs.best_connected(connected, 4) == [0]  # no photo of another model has three positives
    assert pairs.best_connected(connected[connected["model_id"] > 0], 4) == [10, 20]
    monkeypatch.setattr(pairs, "SHOWN", 1)
    assert pairs.best_connected(connected, 4) == [0, 10, 20]
    assert pairs.best_connected(connected, 2) == [0, 20]
    assert pairs.best_connected(connected.iloc[:0], 2) == []


@pytest.fixture
def opened(tmp_path, params, model, connected):
    """A study whose model 0 is that of SEEN, with photos of 60 x 40 px."""
    study = Study(tmp_path, params)
    pairs_of_model = connected.head(3).assign(query_id=3, positive_id=[7, 9, 7], shared_share=[0.9, 0.1, 0.5], model_id=0)
    write_table(study.pairs, "pairs", pairs_of_model.iloc[:2])
    write_model(model, study.reconstruction / "models/0")
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
