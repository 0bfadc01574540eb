"""Other supplies of pairs, on the made-up training set: four training groups of four photos, two groups held apart."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from bcdh_lib.comparison import pair_supply
from bcdh_lib.comparison.pair_supply import Supply, cluster, false_pairs, fewer_groups, relabelled, subset, supplied
from bcdh_lib.training.training_set import validation_map


def pairs_of(training_set):
    return {tuple(pair) for pair in training_set.pairs.tolist()}


def held_apart(training_set):
    """Groups and pairs that validation goes by, photos named by their activations."""
    name = [round(float(each.sum()), 3) for each in training_set.activations]
    chosen = np.flatnonzero(~training_set.train)
    pairs = {(name[a], name[b]) for a, b in training_set.pairs if a in chosen}
    return {(name[row], training_set.group[row]) for row in chosen}, pairs


def test_the_models_own_pairs_are_the_training_set_itself(training_set):
    assert supplied(None, training_set, None, Supply(), seed=1) is training_set


def test_false_pairs_are_a_share_of_the_training_pairs_in_both_directions(training_set):
    """24 pairs of two photos train: a quarter of them, 6, are replaced; held-apart ones stay."""
    changed = false_pairs(training_set, 0.25, seed=3)
    before, after = pairs_of(training_set), pairs_of(changed)
    assert len(after) == len(changed.pairs) == len(before)
    assert len(before - after) == len(after - before) == 2 * 6
    for query, positive in after - before:
        assert (positive, query) in after
        assert changed.group[query] != changed.group[positive]
        assert changed.train[[query, positive]].all()
    assert held_apart(changed) == held_apart(training_set)
    assert pairs_of(false_pairs(training_set, 0.25, seed=3)) == after != pairs_of(false_pairs(training_set, 0.25, seed=4))


def test_fewer_groups(training_set):
    half = fewer_groups(training_set, 0.5, seed=1)
    assert len(np.unique(half.group[half.train])) == 2
    assert half.train.sum() == 8
    assert held_apart(half) == held_apart(training_set)
    assert len(np.unique(fewer_groups(training_set, 0.01, seed=1).group)) == 2 + 2


def test_a_subset_equals_a_plain_loop(training_set):
    chosen = np.random.default_rng(0).random(24) < 0.6
    kept = list(np.flatnonzero(chosen))
    found = subset(training_set, chosen)
    for place, row in enumerate(kept):
        assert torch.equal(found.activations[place], training_set.activations[row])
        assert found.group[place] == training_set.group[row]
    assert pairs_of(found) == {(kept.index(a), kept.index(b)) for a, b in pairs_of(training_set) if a in kept and b in kept}


def test_relabelled_by_the_same_groups_gives_the_same_pairs(training_set):
    """All photos of a group are similar here already, so nothing but the groups' numbers may change."""
    changed = relabelled(training_set, training_set.group)
    assert pairs_of(changed) == pairs_of(training_set)
    assert held_apart(changed) == held_apart(training_set)
    assert not set(changed.group[changed.train]) & set(changed.group[~changed.train])
    outputs = torch.from_numpy(np.random.default_rng(1).normal(size=(24, 16)).astype(np.float32))
    assert validation_map(changed, outputs, 16) == validation_map(training_set, outputs, 16)


def test_clusters_of_well_parted_vectors_are_their_parts():
    random = np.random.default_rng(1)
    centres = np.eye(5, 16)[np.repeat(np.arange(5), 8)]
    vectors = (centres + 0.05 * random.normal(size=centres.shape)).astype(np.float32)
    label = cluster(vectors, 5, seed=0)
    assert len(set(zip(label, np.repeat(np.arange(5), 8), strict=True))) == len(set(label)) == 5
    assert (cluster(vectors[:1].repeat(3, 0), 2, seed=0) >= 0).all()


@pytest.fixture
def with_others(training_set):
    """Two photos more, 24 and 25, that are in no model; the photo of row r has number r."""
    others = training_set.activations[:2] + 100
    whole = pair_supply.replace(
        training_set,
        activations=torch.cat([training_set.activations, others]),
        group=np.concatenate([training_set.group, [6, 7]]),
        train=np.concatenate([training_set.train, [True, True]]),
        vectors=np.random.default_rng(0).normal(size=(26, 8)).astype(np.float32),
    )
    return training_set, lambda: (whole, np.arange(26))


def test_augmentation_knows_a_photo_only_as_similar_to_itself(with_others):
    changed = supplied(None, *with_others, Supply(source="augmentation"), seed=1)
    trained = [tuple(pair) for pair in changed.train_pairs.tolist()]
    assert sorted(trained) == [(row, row) for row in np.flatnonzero(changed.train)]
    assert len(np.unique(changed.group[changed.train])) == changed.train.sum() == 18
    assert held_apart(changed) == held_apart(with_others[0])


def test_truth_over_the_whole_pile(with_others, monkeypatch):
    """Photo 24 shows what group 0 does; photo 25 what is held apart, and is gone."""
    landmark = pd.Series([*np.repeat(list("abcdef"), 4), "a", "e"])
    monkeypatch.setattr(pair_supply, "true_landmarks", lambda study: landmark)
    changed = supplied(None, *with_others, Supply(source="whole_pile_truth"), seed=1)
    assert changed.train.sum() == 17
    positives = {b for a, b in pairs_of(changed) if a == 24}
    assert positives == {0, 1, 2, 3}
    assert held_apart(changed) == held_apart(with_others[0])


def test_clusters_are_as_many_as_the_training_groups(with_others):
    changed = supplied(None, *with_others, Supply(source="clusters"), seed=1)
    assert 1 < len(np.unique(changed.group[changed.train])) <= 4
    assert held_apart(changed) == held_apart(with_others[0])


@pytest.mark.parametrize("wrong", [{"source": "labels"}, {"share": 0.0}, {"false_pairs": 1.5}])
def test_a_supply_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        Supply.model_validate(wrong)
