"""Own learning: candidates by hand, the default if nothing is better, the trained one if pairs help; few places."""

import numpy as np
import pandas as pd
import pytest
import torch

from bcdh_lib.params import Params
from bcdh_lib.search.default_network.files import DefaultNetwork
from bcdh_lib.search.own_learning import OwnPhotos, compare, folds, learn, recentred, with_components, with_statistics
from bcdh_lib.training.network import HashLayer
from bcdh_lib.training.training_set import TrainingVectors

CHANNELS, BITS = 32, 16


@pytest.fixture(scope="module")
def default():
    """A random layer, and photos that vary in all directions equally."""
    torch.manual_seed(0)
    layer = HashLayer(CHANNELS, BITS).eval()
    mean, covariance = np.zeros(CHANNELS, np.float32), np.eye(CHANNELS, dtype=np.float32) / CHANNELS
    return DefaultNetwork(None, {BITS: layer}, mean, covariance, "")


@pytest.fixture(scope="module")
def longer(params):
    """Settings of a training that is long enough to find the useful directions."""
    settings = params.model_dump()
    settings["training"]["hash_layer"] |= {"rounds": 3, "steps_per_round": 30, "photos": 96, "places": 24}
    return Params.model_validate(settings)


def outputs(layer, vectors):
    with torch.no_grad():
        return layer(torch.from_numpy(vectors)).numpy()


def photos_of(places, each=6, seed=0, useful=4):
    """Photos of places that differ in the first `useful` directions, and at random in all others."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(places), each)
    vectors = random.normal(size=(len(group), CHANNELS)).astype(np.float32)
    vectors[:, :useful] = random.normal(size=(places, useful))[group] + 0.1 * vectors[:, :useful]
    vectors += 3  # on another side than the default's photos
    first, second = np.nonzero((group[:, None] == group) & ~np.eye(len(group), dtype=bool))
    members = TrainingVectors(vectors[:, None], group, np.ones(len(group), dtype=bool), np.stack([first, second], 1))
    return OwnPhotos(vectors, members, np.arange(len(vectors)))


def test_candidates_are_centred_and_without_photos_they_are_the_default(default):
    vectors = photos_of(40).vectors
    for make in (recentred, with_statistics, with_components):
        many = np.tile(vectors, (10, 1))
        np.testing.assert_allclose(outputs(make(default, many, BITS), many).mean(0), 0, atol=0.1)
        none = outputs(make(default, vectors[:0], BITS), vectors)
        assert np.isfinite(none).all()
    own = outputs(default.layers[BITS], vectors)
    np.testing.assert_allclose(outputs(recentred(default, vectors[:0], BITS), vectors), own, atol=1e-5)


def test_own_statistics_follow_many_photos(default):
    """The directions are orthogonal, and of many photos they hold those in which these vary most."""
    random = np.random.default_rng(1)
    spread = np.r_[np.full(BITS, 5.0), np.full(CHANNELS - BITS, 0.1)]
    vectors = (random.normal(size=(20_000, CHANNELS)) * spread).astype(np.float32)
    for make in (with_statistics, with_components):
        weight = make(default, vectors, BITS).linear.weight.detach().numpy()
        np.testing.assert_allclose(weight @ weight.T, np.eye(BITS), atol=1e-4)
        assert np.abs(weight[:, BITS:]).max() < 0.02
    few = with_statistics(default, vectors[:3], BITS).linear.weight.detach().numpy()
    assert np.abs(few[:, BITS:]).max() > 0.02


def test_the_largest_place_is_never_held_apart_and_each_other_one_once():
    group = np.repeat(np.arange(9), [4, 90, 4, 7, 5, 4, 8, 4, 4])
    held = folds(group, np.arange(9), seed=0)
    assert sorted(np.concatenate(held)) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert len(held) == 5
    assert max(map(len, held)) <= 2
    assert len(folds(group, np.arange(4), seed=0)) == 3


def test_only_what_is_better_beyond_doubt_is_chosen():
    """By hand: of three places with two queries each; a place without queries is left out."""
    group = np.array([0, 0, 1, 1, 2, 2, 3])
    default = np.array([0.2, 0.4, 0.5, 0.5, 0.8, 0.6, np.nan])
    table = compare({"default": default, "own statistics": default + 0.1, "trained": default + np.eye(7)[1] / 2}, group)
    assert table["map"].tolist() == pytest.approx([0.5, 0.6, 0.5 + 0.25 / 3])
    assert table["difference"].tolist() == pytest.approx([0, 0.1, 0.25 / 3])
    assert table["low"].tolist() == pytest.approx([0, 0.1, 0.25 / 3 - 4.302653 * 0.25 / 3], abs=1e-6)
    assert table["chosen"].tolist() == [False, True, False]
    table = compare({"default": default, "own statistics": default - 0.1, "trained": default}, group)
    assert table["chosen"].tolist() == [True, False, False]


def test_learning_where_pairs_help_and_where_they_say_nothing(default, longer):
    layer, table = learn(default, photos_of(40), longer, BITS)
    table = table.set_index("codes")
    assert table.loc["trained", "low"] > 0
    assert table["chosen"].sum() == 1
    assert not table.loc["default", "chosen"]
    again, same = learn(default, photos_of(40), longer, BITS)
    assert same.set_index("codes").equals(table)
    assert (again.linear.weight == layer.linear.weight).all()
    _, table = learn(default, photos_of(12, useful=0), longer, BITS)  # places that look like any other
    assert table.set_index("codes").loc["default", "chosen"]


@pytest.mark.parametrize("places", [0, 1, 2, 3])
def test_too_few_places(default, params, places):
    photos = photos_of(6)
    inside = photos.members.group < places
    row = np.cumsum(inside) - 1
    pairs = photos.members.pairs[inside[photos.members.pairs[:, 0]]]
    members = TrainingVectors(photos.members.views[inside], photos.members.group[inside], inside[inside], row[pairs])
    layer, table = learn(default, OwnPhotos(photos.vectors, members, np.flatnonzero(inside)), params, BITS)
    assert table["chosen"].tolist() == [False, True]
    assert f"{places} places have" in table["why"].iloc[1]
    expected = with_statistics(default, photos.vectors, BITS)
    assert (layer.linear.weight == expected.linear.weight).all()
    assert isinstance(table, pd.DataFrame)
