"""Own learning: candidates by hand, the default if nothing is better, pairs where they help; few places."""

import numpy as np
import pandas as pd
import pytest
import torch

from bcdh_lib.search.default_network.files import DefaultNetwork
from bcdh_lib.search.own_learning import OwnPhotos, candidates, choose, compare, folds, learn, without
from bcdh_lib.training.network import HashLayer

CHANNELS, BITS = 32, 16


@pytest.fixture(scope="module")
def default():
    """A random layer, and photos that vary in all directions equally."""
    torch.manual_seed(0)
    layers = {bits: HashLayer(CHANNELS, bits).eval() for bits in (BITS, 8)}
    mean, covariance = np.zeros(CHANNELS, np.float32), np.eye(CHANNELS, dtype=np.float32) / CHANNELS
    return DefaultNetwork(None, layers, mean, covariance, "")


def outputs(layer, vectors):
    with torch.no_grad():
        return layer(torch.from_numpy(vectors)).numpy()


def photos_of(places, each=6, seed=0, useful=4, noise=0.1):
    """Photos of places that differ in the first `useful` directions, and at random in all others."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(places), each)
    vectors = random.normal(size=(len(group), CHANNELS)).astype(np.float32)
    vectors[:, :useful] = random.normal(size=(places, useful))[group] + noise * vectors[:, :useful]
    vectors += 3  # on another side than the default's photos
    pairs = np.argwhere((group[:, None] == group) & ~np.eye(len(group), dtype=bool))
    return OwnPhotos(vectors, group, pairs)


def unlabelled(vectors):
    return OwnPhotos(vectors, np.full(len(vectors), -1), np.empty((0, 2), np.int64))


def test_candidates_are_centred_and_without_photos_they_are_the_default(default):
    photos = photos_of(40)
    vectors = np.tile(photos.vectors, (10, 1))
    for each in (unlabelled(vectors), OwnPhotos(vectors, np.tile(photos.group, 10), photos.pairs)):
        for layer in candidates(default, each, 0).values():
            np.testing.assert_allclose(outputs(layer, vectors).mean(0), 0, atol=0.1)
    none = candidates(default, unlabelled(vectors[:0]), 0)
    assert all(np.isfinite(outputs(layer, vectors)).all() for layer in none.values())
    expected = outputs(default.layers[BITS], vectors)
    np.testing.assert_allclose(outputs(none["default", BITS], vectors), expected, atol=1e-5)


def test_own_statistics_follow_many_photos(default):
    """The directions are orthogonal, and of many photos they hold those in which these vary most."""
    random = np.random.default_rng(1)
    spread = np.r_[np.full(BITS, 5.0), np.full(CHANNELS - BITS, 0.1)]
    vectors = (random.normal(size=(20_000, CHANNELS)) * spread).astype(np.float32)
    weight = candidates(default, unlabelled(vectors), 0)["own statistics", BITS].linear.weight.detach().numpy()
    np.testing.assert_allclose(weight @ weight.T, np.eye(BITS), atol=1e-4)
    assert np.abs(weight[:, BITS:]).max() < 0.02
    few = candidates(default, unlabelled(vectors[:3]), 0)["own statistics", BITS].linear.weight.detach().numpy()
    assert np.abs(few[:, BITS:]).max() > 0.02


def test_pairs_weaken_directions_in_which_photos_of_a_place_differ(default):
    """All directions vary equally over the photos; the first four tell the places apart."""
    layers = candidates(default, photos_of(200), 0)
    norms = {
        name: np.linalg.norm(layers[name, 8].linear.weight.detach().numpy()[:, :4]) for name in ("own statistics", "own pairs")
    }
    whole = np.linalg.norm(layers["own pairs", 8].linear.weight.detach().numpy())
    assert norms["own pairs"] / whole > norms["own statistics"] / np.sqrt(8)
    assert norms["own pairs"] / whole > 0.7


def test_photos_without_some_places():
    photos = OwnPhotos(
        np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, -1, 1, 0, 2, 1]), np.array([[0, 3], [2, 5], [5, 2]])
    )
    left = without(photos, np.array([0, 2]))
    assert left.vectors[:, 0].tolist() == [2, 4, 10]
    assert left.group.tolist() == [-1, 1, 1]
    assert left.pairs.tolist() == [[1, 2], [2, 1]]


def test_the_largest_place_is_never_held_apart_and_each_other_one_once():
    group = np.repeat(np.arange(9), [4, 90, 4, 7, 5, 4, 8, 4, 4])
    held = folds(group, np.arange(9), seed=0)
    assert sorted(np.concatenate(held)) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert len(held) == 5
    assert max(map(len, held)) <= 2
    assert len(folds(group, np.arange(4), seed=0)) == 3


def test_candidates_are_compared_by_place():
    """By hand: of three places with two queries each; a place without queries is left out."""
    group = np.array([0, 0, 1, 1, 2, 2, 3])
    default = np.array([0.2, 0.4, 0.5, 0.5, 0.8, 0.6, np.nan])
    table = compare({"default": default, "own pairs": default + np.eye(7)[1] / 2}, group)
    assert table["map"].tolist() == pytest.approx([0.5, 0.5 + 0.25 / 3])
    assert table["difference"].tolist() == pytest.approx([0, 0.25 / 3])
    assert table["error"].tolist() == pytest.approx([0, 0.25 / 3])


@pytest.mark.parametrize(("differences", "chosen"), [((0.1, -0.2), "default"), ((0.2, -0.1), "own pairs"), ((0, 0), "default")])
def test_the_best_over_all_lengths_is_chosen(differences, chosen):
    table = pd.DataFrame({"codes": ["default", "own pairs"] * 2, "difference": [0, differences[0], 0, differences[1]]})
    assert choose(table).query("chosen")["codes"].tolist() == [chosen] * 2


def test_learning_where_pairs_help_and_where_they_say_nothing(default):
    photos = photos_of(40)
    used, table = learn(default, photos, 0)
    assert table.groupby("bits")["chosen"].sum().tolist() == [1, 1]
    assert table[table["chosen"]]["codes"].eq("own pairs").all()
    again, same = learn(default, photos, 0)
    assert same.equals(table)
    assert all((again[bits].linear.weight == used[bits].linear.weight).all() for bits in (BITS, 8))


@pytest.mark.parametrize("places", [0, 1, 3])
def test_too_few_places(default, places):
    photos = photos_of(6)
    group = np.where(photos.group < places, photos.group, -1)
    few = OwnPhotos(photos.vectors, group, photos.pairs[group[photos.pairs[:, 0]] >= 0])
    used, table = learn(default, few, 0)
    assert table["codes"].tolist() == ["default", "own statistics"] * 2
    assert table["chosen"].tolist() == [False, True] * 2
    assert f"{places} places have" in table["why"].iloc[1]
    expected = candidates(default, unlabelled(photos.vectors), 0)["own statistics", BITS]
    assert (used[BITS].linear.weight == expected.linear.weight).all()
