"""Similar pairs from tracks, their split and their precision against the truth: by hand, against loops, at the edges."""

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.pairs import covisibility as pairs_module
from bcdh_lib.pairs.covisibility import count_dissimilar, similar_pairs, split_members
from bcdh_lib.pairs.diagnostics import diagnose, pair_precision


def registrations(models, groups=None, scale=1.0):
    groups = models if groups is None else groups
    return pd.DataFrame({"photo_id": np.arange(len(models)) * 2, "model_id": models, "group_id": groups, "scale": scale})


def tracks(seen):
    """{photo_id: points} as the table."""
    return pd.DataFrame([(photo, point) for photo, points in seen.items() for point in points], columns=["photo_id", "point_id"])


def random_case(seed, photos=30):
    generator = np.random.default_rng(seed)
    models = np.sort(generator.integers(0, 4, photos))
    seen = {2 * i: models[i] * 1000 + generator.choice(40, generator.integers(0, 25), replace=False) for i in range(photos)}
    return tracks(seen), registrations(models, scale=generator.uniform(1, 3, photos))


def test_by_hand():
    """Photo 0 sees {1,2,3,4}, photo 2 sees {4}: they share 1/4 of the one and all of the other."""
    seen = tracks({0: [1, 2, 3, 4], 2: [4], 4: [9]})
    found = similar_pairs(seen, registrations([0, 0, 1], scale=[1.0, 1.4, 1.0]), 0.3, 1.5)
    assert found[["query_id", "positive_id", "model_id", "shared_points"]].to_numpy().tolist() == [[2, 0, 0, 1]]
    assert found["shared_share"].item() == 1
    assert found["scale_change"].item() == pytest.approx(1.4)
    assert similar_pairs(seen, registrations([0, 0, 1], scale=[1.0, 1.6, 1.0]), 0.3, 1.5).empty


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_equals_loops_over_points(seed, block, monkeypatch):
    monkeypatch.setattr(pairs_module, "PHOTOS_AT_ONCE", block)
    seen, registered = random_case(seed)
    points = {photo: set(rows["point_id"]) for photo, rows in seen.groupby("photo_id")}
    scale = registered.set_index("photo_id")["scale"]
    slow = [
        (query, positive, len(points[query] & points[positive]))
        for query in sorted(points)
        for positive in sorted(points)
        if query != positive
        and len(points[query] & points[positive]) > 0.4 * len(points[query])
        and max(scale[query] / scale[positive], scale[positive] / scale[query]) <= 1.5
    ]
    fast = similar_pairs(seen, registered.sample(frac=1, random_state=seed), 0.4, 1.5)
    assert len(slow) > 5
    assert list(fast[["query_id", "positive_id", "shared_points"]].itertuples(index=False, name=None)) == slow


def test_a_point_seen_twice_by_a_photo_counts_once_and_no_photos_have_no_pairs():
    seen = tracks({0: [1, 1, 2], 2: [1, 2]})
    assert similar_pairs(seen, registrations([0, 0]), 0.5, 1.5)["shared_points"].tolist() == [2, 2]
    empty = similar_pairs(tracks({}), registrations([]), 0.2, 1.5)
    assert empty.empty
    assert "scale_change" in empty


def test_split_holds_whole_groups_apart():
    models = np.repeat(np.arange(10), 6)
    registered = registrations(models, groups=np.repeat(np.arange(5), 12))
    pairs = pd.DataFrame({"query_id": registered["photo_id"], "positive_id": registered["photo_id"]})
    members = split_members(registered, pairs, {"validation": 0.2}, seed=1)
    assert (members.groupby("group_id")["split"].nunique() == 1).all()
    assert (members["split"] == "validation").sum() == 12
    assert members.equals(split_members(registered, pairs, {"validation": 0.2}, seed=1))
    assert any(not members.equals(split_members(registered, pairs, {"validation": 0.2}, seed=s)) for s in range(2, 6))
    greedy = split_members(registered, pairs, {"validation": 0.99, "test": 0.5}, seed=1)
    assert greedy.groupby("split")["group_id"].nunique().to_dict() == {"test": 1, "train": 2, "validation": 2}


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_group_is_for_training_and_shares_are_met(seed):
    """Groups of 200, 30, 20, 10, 8, 7, 6 photos: the largest stays, a tenth (28 photos) is met up to half a group."""
    groups = np.repeat(np.arange(7), [200, 30, 20, 10, 8, 7, 6])
    registered = registrations(groups)
    pairs = pd.DataFrame({"query_id": registered["photo_id"], "positive_id": registered["photo_id"]})
    members = split_members(registered, pairs, {"validation": 0.1, "test": 0.02}, seed)
    photos = members["split"].value_counts()
    assert (members.loc[members["group_id"] == 0, "split"] == "train").all()
    assert 20 <= photos["validation"] <= 40
    assert 0 < photos["test"] <= 20


def test_split_needs_three_groups_with_pairs():
    registered = registrations([0, 0, 1, 1, 2])
    pairs = pd.DataFrame({"query_id": [0, 4], "positive_id": [2, 6]})
    with pytest.raises(StudyError, match="2 groups of 3D models have similar pairs"):
        split_members(registered, pairs, {"validation": 0.2}, seed=1)
    with pytest.raises(StudyError, match="0 groups"):
        split_members(registered, pairs[:0], {"validation": 0.2}, seed=1)


def test_dissimilar_count_by_hand():
    assert count_dissimilar(pd.DataFrame({"group_id": [0, 0, 1, 2]})) == 5
    assert count_dissimilar(pd.DataFrame({"group_id": []})) == 0


def test_precision_by_hand():
    """Groups {0, 1} and {2, 3}; photo 1 shows b, as do 2 and 3."""
    members = pd.DataFrame({"photo_id": range(4), "group_id": [0, 0, 1, 1]})
    pairs = pd.DataFrame({"query_id": [0, 2], "positive_id": [1, 3]})
    found = pair_precision(pairs, members, pd.Series(["a", "b", "b", "b"]))
    assert found == {"similar_precision": 0.5, "dissimilar_precision": 0.5, "group_purity": 0.75}


def test_precision_equals_a_loop_over_all_pairs():
    generator = np.random.default_rng(0)
    members = pd.DataFrame({"photo_id": range(40), "group_id": generator.integers(0, 6, 40)})
    landmark = pd.Series(generator.integers(0, 5, 40))
    across = [(i, j) for i in range(40) for j in range(i) if members.group_id[i] != members.group_id[j]]
    slow = np.mean([landmark[i] != landmark[j] for i, j in across])
    pairs = pd.DataFrame({"query_id": [1], "positive_id": [2]})
    assert pair_precision(pairs, members, landmark)["dissimilar_precision"] == pytest.approx(slow)


def test_one_group_and_no_pairs():
    members = pd.DataFrame({"photo_id": [0], "group_id": [0]})
    none = pair_precision(pd.DataFrame({"query_id": [], "positive_id": []}, dtype=int), members, pd.Series(["a"]))
    assert np.isnan(none["similar_precision"])
    assert np.isnan(none["dissimilar_precision"])


def test_without_truth_nothing_is_claimed(study):
    assert diagnose(study) == {}
