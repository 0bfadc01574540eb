"""The hardest dissimilar pairs before training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bcdh_lib.study import Study
from bcdh_lib.training.hard_pairs import hardest_dissimilar, pretrained_vectors


def members(groups: list[int]) -> pd.DataFrame:
    """Photos 10, 11, .. of these groups; model = 100 + group."""
    group = np.array(groups)
    return pd.DataFrame({"photo_id": 10 + np.arange(len(group)), "model_id": 100 + group, "group_id": group})


def test_the_nearest_of_each_other_group_comes_first():
    angle = np.radians([0, 5, 30, 20, 60, 90])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = hardest_dissimilar(vectors, members([0, 0, 1, 1, 2, 3]), 10, 2)
    assert found["photo_id"].tolist() == [13, 14]  # 11 is of the query's own group, 12 the second of its group
    assert found["model_id"].tolist() == [101, 102]
    assert found["similarity"].tolist() == pytest.approx(np.cos(np.radians([20, 60])).tolist())


def test_no_photo_of_another_group_is_nearer_than_what_is_found():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = members(random.integers(0, 5, 40).tolist())
    for query, own in zip(table["photo_id"], table["group_id"], strict=True):
        best: dict[int, tuple[float, int]] = {}
        for row, (photo, group) in enumerate(zip(table["photo_id"], table["group_id"], strict=True)):
            alike = float(vectors[row] @ vectors[query - 10])
            if group != own and alike > best.get(group, (-2, 0))[0]:
                best[group] = alike, photo
        assert hardest_dissimilar(vectors, table, query, 9)["photo_id"].tolist() == [
            photo for _, photo in sorted(best.values(), reverse=True)
        ]


def test_a_single_group_has_no_dissimilar_pair():
    assert hardest_dissimilar(np.eye(3), members([4, 4, 4]), 11, 3).empty


def test_pretrained_vectors_are_unit_vectors_alike_for_alike_photos(tmp_path, params):
    study = Study(tmp_path, params)
    (study.photos / "images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    for photo, kind in ((3, 0), (5, 1), (8, 0)):
        Image.fromarray(noise[kind]).save(study.image(photo), quality=100)
    vectors = pretrained_vectors(study, [3, 5, 8])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2], atol=1e-5)
    assert vectors[0] @ vectors[1] < 0.999
