"""One photo's pairs, as figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
import pytest

from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params
from bcdh_lib.report.figures import query_pairs
from bcdh_lib.report.figures.query_pairs import query_gallery, shared_points, similar_of, telling_queries
from bcdh_lib.report.figures.style import Drawn
from bcdh_lib.study import Study

from .conftest import Printed

SEEN: dict[int, dict[int, tuple[float, float]]] = {
    3: {0: (10, 20), 1: (30, 5), 2: (58, 38)},
    7: {1: (20.5, 7), 3: (1, 1), 0: (2, 59)},
    9: {3: (4, 4)},
}
"""Photo, 3D point: where it is seen (px)."""


@pytest.fixture
def model() -> pycolmap.Reconstruction:
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
def pairs() -> pd.DataFrame:
    """Photos 0 to 4 of model 0, every pair of them; 10 to 12 of model 1; 20 and 21 of model 2."""
    rows = [
        (query, positive, model, 60 - positive, (60 - positive) / 100, 1 + positive / 10)
        for model, photos in enumerate((range(5), range(10, 13), range(20, 22)))
        for query in photos
        for positive in photos
        if query != positive
    ]
    return pd.DataFrame(rows, columns=["query_id", "positive_id", "model_id", "shared_points", "shared_share", "scale_change"])


def words_of(drawn: Drawn) -> list[str]:
    return [text.get_text() for text in drawn[0].axes[0].texts]


def test_shared_points_are_where_both_photos_observe_them(model: pycolmap.Reconstruction) -> None:
    first, second = shared_points(model, 3, 7)
    seen = dict(zip(map(tuple, first.tolist()), map(tuple, second.tolist()), strict=True))
    assert seen == {(10, 20): (2, 59), (30, 5): (20.5, 7)}
    assert [each.tolist() for each in shared_points(model, 7, 3)] == [second.tolist(), first.tolist()]


def test_photos_that_share_no_point(model: pycolmap.Reconstruction) -> None:
    assert [each.shape for each in shared_points(model, 3, 9)] == [(0, 2), (0, 2)]


def test_one_query_a_model_from_many_positives_to_few(pairs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    assert telling_queries(pairs, 4) == [0]  # no photo of another model has three positives
    monkeypatch.setattr(query_pairs, "SHOWN", 1)
    assert telling_queries(pairs, 4) == [0, 10, 20]
    assert telling_queries(pairs, 2) == [0, 20]
    assert telling_queries(pairs.iloc[:0], 2) == []


def test_where_no_photo_has_three_positives_those_with_fewer_are_asked(pairs: pd.DataFrame) -> None:
    assert telling_queries(pairs[pairs["model_id"] > 0], 4) == [10, 20]


def test_similar_photos_run_from_the_most_shared_to_the_least(pairs: pd.DataFrame) -> None:
    assert similar_of(0, pairs.sample(frac=1, random_state=0))["positive_id"].tolist() == [1, 3, 4]
    assert similar_of(20, pairs)["positive_id"].tolist() == [21]


def test_points_lie_on_the_photos_where_the_model_has_them(
    printed: Printed, image: Callable[[int], Path], pairs: pd.DataFrame
) -> None:
    first, second = np.array([[0.0, 0.0], [20, 30], [40, 60]]), np.array([[0.0, 0.0], [30, 20], [60, 40]])
    hard = pd.DataFrame({"photo_id": [30, 31], "model_id": [4, 5], "similarity": [0.9, 0.8]})
    drawn = printed(query_gallery, 0, similar_of(0, pairs).head(1), hard, image, lambda *_: (first, second))
    photos = [picture.get_extent() for picture in drawn[0].axes[0].images][:2]  # photo 0 is upright, photo 1 is not
    marks = [line.get_xydata() for line in drawn[0].axes[0].lines if line.get_marker() == "o"]
    for (left, right, bottom, top), marked in zip(photos, marks, strict=True):
        corners = [[left, top], [(left + right) / 2, (top + bottom) / 2], [right, bottom]]
        assert np.allclose(marked, corners, atol=0.01)
    joins = [line.get_xydata() for line in drawn[0].axes[0].lines if line.get_marker() != "o"]
    assert all(any(np.allclose(join, ends) for ends in zip(*marks, strict=True)) for join in joins)
    assert words_of(drawn)[2:] == [
        "photo 1, model 0, scale × 1.10\nshares 59 points (59%)",
        "photo 30, model 4",
        "photo 31, model 5",
    ]
    assert "Photo 0 above 1 similar photo, the 3D points that a pair shares marked in both: photo 1, model 0" in drawn[1]


def test_a_photo_alone_and_pairs_of_a_published_database(
    printed: Printed, image: Callable[[int], Path], pairs: pd.DataFrame
) -> None:
    none = pd.DataFrame({"photo_id": [], "model_id": [], "similarity": []})
    assert printed(query_gallery, 5, similar_of(5, pairs), none, image, None)[1].endswith("Hardest dissimilar: none.")
    published = pairs.head(3).assign(shared_points=pd.NA, shared_share=np.nan, scale_change=np.nan)
    assert "photo 2, model 0" in words_of(printed(query_gallery, 0, published, none, image, None))


def test_a_photo_in_no_model_is_named(tmp_path: Path, params: Params, pairs: pd.DataFrame) -> None:
    study = Study(tmp_path, params)
    write_table(study.pairs, "pairs", pairs)
    write_table(study.pairs, "members", pd.DataFrame({"photo_id": [0, 1], "model_id": 0, "group_id": 0, "split": "train"}))
    with pytest.raises(ValueError, match=r"photo 6 is in no model, so it has no pairs; photos that are: 0, 1, \.\."):
        query_pairs.show_query_pairs(study, [1, 6])
