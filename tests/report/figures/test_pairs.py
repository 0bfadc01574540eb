"""The pairs, as figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
import pytest

from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params
from bcdh_lib.report.figures import pairs
from bcdh_lib.report.figures.display import Picture
from bcdh_lib.study import Study

from .conftest import Printed


def table(count: int = 20) -> pd.DataFrame:
    """Pair i joins photos 2 i and 2 i + 1 of model i mod 3, and shares 1 - i / count of the query's points."""
    place = np.arange(count)
    return pd.DataFrame(
        {
            "query_id": 2 * place,
            "positive_id": 2 * place + 1,
            "model_id": place % 3,
            "shared_points": 100 - place,
            "shared_share": 1 - place / count,
            "scale_change": 1 + place / 100,
        }
    )


def words_of(drawn: Picture) -> list[str]:
    return [text.get_text() for text in drawn[0].axes[0].texts]


def test_similar_pairs_run_from_easy_to_hard(printed: Printed, image: Callable[[int], Path]) -> None:
    drawn = printed(pairs.similar_gallery, table().sample(frac=1, random_state=0), image, shown=4)
    words = words_of(drawn)
    assert words[0] == "shares 100% (100 points)\nscale × 1.00, model 0"
    assert words[-1] == "shares 5% (81 points)\nscale × 1.19, model 1"
    assert drawn[1] == "4 similar pairs of 20, their shared share from 100% to 5%."


def test_pairs_that_do_not_say_what_they_share(printed: Printed, image: Callable[[int], Path]) -> None:
    published = table(3).assign(shared_share=np.nan, shared_points=pd.array([pd.NA] * 3, "Int32"), scale_change=np.nan)
    drawn = printed(pairs.similar_gallery, published, image)
    assert words_of(drawn)[0] == "photos 0 and 1\nmodel 0"
    printed(pairs.histograms, published)


@pytest.fixture
def members() -> pd.DataFrame:
    return pd.DataFrame({"photo_id": range(12), "model_id": np.repeat([5, 6, 7], 4), "group_id": np.repeat([0, 1, 2], 4)})


def test_hard_pairs_lie_across_groups_and_show_no_photo_twice(
    printed: Printed, image: Callable[[int], Path], members: pd.DataFrame
) -> None:
    candidates = pd.DataFrame(
        {"photo_id": [0, 0, 0, 1, 2, 3], "other_id": [1, 4, 5, 8, 30, 9], "inliers": [300, 12, 11, 1, 200, 0]}
    )  # 0, 1: one group; 0, 5: photo 0 again; 2, 30: photo 30 in no model
    drawn = printed(pairs.dissimilar_gallery, members, image, candidates)
    assert words_of(drawn) == ["12 verified matches", "1 verified match", "no verified match"]
    assert drawn[1] == "3 hard dissimilar pairs, 12 verified matches to no verified match."


def test_histograms_count_every_pair_and_every_photo(printed: Printed) -> None:
    members = pd.DataFrame({"photo_id": [*range(0, 42, 2), *range(100, 119)]})
    figure, alt = printed(pairs.histograms, table(21), members)
    counts = [sum(bar.get_height() for bar in panel.patches) for panel in figure.axes]
    assert counts == [21, 21, 40]
    assert "21 similar pairs: median shared share 0.52, median scale change 1.10, 19 of 40 photos have no positive." in alt


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
def connected() -> pd.DataFrame:
    """Photos 0 to 4 of model 0, every pair of them; 10 to 12 of model 1; 20 and 21 of model 2."""
    rows = [
        (query, positive, model, 60 - positive, (60 - positive) / 100, 1 + positive / 10)
        for model, photos in enumerate((range(5), range(10, 13), range(20, 22)))
        for query in photos
        for positive in photos
        if query != positive
    ]
    return pd.DataFrame(rows, columns=["query_id", "positive_id", "model_id", "shared_points", "shared_share", "scale_change"])


def test_shared_points_are_where_both_photos_observe_them(model: pycolmap.Reconstruction) -> None:
    first, second = pairs.shared_points(model, 3, 7)
    seen = dict(zip(map(tuple, first.tolist()), map(tuple, second.tolist()), strict=True))
    assert seen == {(10, 20): (2, 59), (30, 5): (20.5, 7)}
    assert [each.tolist() for each in pairs.shared_points(model, 7, 3)] == [second.tolist(), first.tolist()]


def test_photos_that_share_no_point(model: pycolmap.Reconstruction) -> None:
    assert [each.shape for each in pairs.shared_points(model, 3, 9)] == [(0, 2), (0, 2)]


def test_one_query_for_each_model_from_many_positives_to_few(connected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pairs.best_connected(connected, 4) == [0]  # no photo of another model has three positives
    assert pairs.best_connected(connected[connected["model_id"] > 0], 4) == [10, 20]
    monkeypatch.setattr(pairs, "SHOWN", 1)
    assert pairs.best_connected(connected, 4) == [0, 10, 20]
    assert pairs.best_connected(connected, 2) == [0, 20]
    assert pairs.best_connected(connected.iloc[:0], 2) == []


def test_positives_run_from_the_most_shared_to_the_least(connected: pd.DataFrame) -> None:
    assert pairs.positives_of(0, connected.sample(frac=1, random_state=0))["positive_id"].tolist() == [1, 3, 4]
    assert pairs.positives_of(20, connected)["positive_id"].tolist() == [21]


def test_points_are_marked_where_the_photos_show_them(
    printed: Printed, image: Callable[[int], Path], connected: pd.DataFrame
) -> None:
    first, second = np.array([[0.0, 0.0], [20, 30], [40, 60]]), np.array([[0.0, 0.0], [30, 20], [60, 40]])
    drawn = printed(pairs.query_gallery, 0, pairs.positives_of(0, connected).head(1), image, lambda *_: (first, second))
    photos = [picture.get_extent() for picture in drawn[0].axes[0].images]  # photo 0 is upright, photo 1 is not
    marks = [line.get_xydata() for line in drawn[0].axes[0].lines if line.get_marker() == "o"]
    for (left, right, bottom, top), marked in zip(photos, marks, strict=True):
        corners = [[left, top], [(left + right) / 2, (top + bottom) / 2], [right, bottom]]
        assert np.allclose(marked, corners, atol=0.01)
    joins = [line.get_xydata() for line in drawn[0].axes[0].lines if line.get_marker() != "o"]
    assert all(any(np.allclose(join, ends) for ends in zip(*marks, strict=True)) for join in joins)


def test_a_photo_without_positives_and_pairs_of_a_published_database(
    printed: Printed, image: Callable[[int], Path], connected: pd.DataFrame
) -> None:
    assert printed(pairs.query_gallery, 5, pairs.positives_of(5, connected), image, None)[1].endswith("0 positives: none.")
    published = connected.head(3).assign(shared_points=pd.NA, shared_share=np.nan, scale_change=np.nan)
    printed(pairs.query_gallery, 0, published, image, None)


def test_a_photo_in_no_model_is_named(tmp_path: Path, params: Params, connected: pd.DataFrame) -> None:
    study = Study(tmp_path, params)
    write_table(study.pairs, "pairs", connected)
    write_table(study.pairs, "members", pd.DataFrame({"photo_id": [0, 1], "model_id": 0, "group_id": 0, "split": "train"}))
    with pytest.raises(ValueError, match=r"photo 6 is in no model"):
        pairs.query_pairs(study, [1, 6])
