"""Own learning: candidates by hand, the default if nothing is better, pairs where they help; few places."""

import numpy as np
import pandas as pd
import pytest
import torch

from bcdh_lib.search.default_network.files import DefaultNetwork
from bcdh_lib.search.own_learning import Learner, Places, candidates, choose, compare, fine_tune, fit_layers, folds, learn
from bcdh_lib.training.encoding import encode
from bcdh_lib.training.hash_layer import assemble
from bcdh_lib.training.network import HashLayer, HashNetwork

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
    return vectors, Places(group, pairs)


def nowhere(count):
    """Photos in no place."""
    return Places(np.full(count, -1), np.empty((0, 2), np.int64))


def own_statistics(default, vectors):
    return dict(fit_layers(default, vectors, nowhere(len(vectors)), 0))["own statistics"]


def test_candidates_are_centred_and_without_photos_they_are_the_default(default):
    vectors, places = photos_of(40)
    vectors = np.tile(vectors, (10, 1))
    for each in (nowhere(len(vectors)), Places(np.tile(places.group, 10), places.pairs)):
        for _, layers in fit_layers(default, vectors, each, 0):
            for layer in layers.values():
                np.testing.assert_allclose(outputs(layer, vectors).mean(0), 0, atol=0.1)
    none = dict(fit_layers(default, vectors[:0], nowhere(0), 0))
    assert all(np.isfinite(outputs(layer, vectors)).all() for layers in none.values() for layer in layers.values())
    expected = outputs(default.layers[BITS], vectors)
    np.testing.assert_allclose(outputs(none["default"][BITS], vectors), expected, atol=1e-5)


def test_own_statistics_follow_many_photos(default):
    """The directions are orthogonal, and of many photos they hold those in which these vary most."""
    random = np.random.default_rng(1)
    spread = np.r_[np.full(BITS, 5.0), np.full(CHANNELS - BITS, 0.1)]
    vectors = (random.normal(size=(20_000, CHANNELS)) * spread).astype(np.float32)
    weight = own_statistics(default, vectors)[BITS].linear.weight.detach().numpy()
    np.testing.assert_allclose(weight @ weight.T, np.eye(BITS), atol=1e-4)
    assert np.abs(weight[:, BITS:]).max() < 0.02
    few = own_statistics(default, vectors[:3])[BITS].linear.weight.detach().numpy()
    assert np.abs(few[:, BITS:]).max() > 0.02


def test_pairs_weaken_directions_in_which_photos_of_a_place_differ(default):
    """All directions vary equally over the photos; the first four tell the places apart."""
    layers = dict(fit_layers(default, *photos_of(200), 0))
    weights = {name: layers[name][8].linear.weight.detach().numpy() for name in ("own statistics", "own pairs")}
    shares = {name: np.linalg.norm(weight[:, :4]) / np.linalg.norm(weight) for name, weight in weights.items()}
    assert shares["own pairs"] > max(shares["own statistics"], 0.7)


def test_places_of_the_photos_that_stay():
    places = Places(np.array([0, -1, 1, 0, 2, 1]), np.array([[0, 3], [2, 5], [5, 2]]))
    left = places.among(~np.isin(places.group, [0, 2]))
    assert left.group.tolist() == [-1, 1, 1]
    assert left.pairs.tolist() == [[1, 2], [2, 1]]
    assert places.names.tolist() == [0, 1]


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


@pytest.fixture
def learner(params, tmp_path):
    """A default network of random blocks, with codes of 16 and 8 bits, and few steps of training."""
    torch.manual_seed(0)
    baseline = HashNetwork(params.network, bits=None, pretrained=False).eval()
    layers = {bits: HashLayer(1280, bits).eval() for bits in (16, 8)}
    mean, covariance = np.zeros(1280, np.float32), np.eye(1280, dtype=np.float32) / 1280
    settings = params.training.float_baseline.model_copy(update={"views": 0})
    return Learner(DefaultNetwork(baseline, layers, mean, covariance, ""), settings, 0, tmp_path)


@pytest.fixture
def album_of_places(training_set):
    """Activations of 24 photos of six places, one view each, and the places."""
    return training_set.views[:, :1], Places(training_set.group, training_set.pairs)


def spread_within(vectors, places):
    """Mean distance of similar photos, as a share of the mean distance of any two."""
    apart = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    return apart[tuple(places.pairs.T)].mean() / apart.mean()


def test_fine_tuning_brings_similar_photos_nearer_and_continues(learner, album_of_places):
    activations, places = album_of_places
    tuned = fine_tune(learner, activations, places, np.ones(24, bool))
    before, after = (encode(network, activations).numpy() for network in (learner.default.baseline, tuned))
    assert spread_within(after, places) < spread_within(before, places)
    kept = {path: path.stat().st_mtime_ns for path in learner.folder.iterdir()}
    again = fine_tune(learner, activations, places, np.ones(24, bool))
    assert (encode(again, activations).numpy() == after).all()
    assert {path: path.stat().st_mtime_ns for path in learner.folder.iterdir()} == kept
    fine_tune(learner, activations, places, places.group > 0)  # of other photos
    assert len(list(learner.folder.iterdir())) == 2 * len(kept)
    for facts in learner.folder.glob("*.json"):  # as if it had been killed between a network and its facts
        facts.unlink()
    again = fine_tune(learner, activations, places, np.ones(24, bool))
    assert (encode(again, activations).numpy() == after).all()


def test_held_apart_places_change_nothing(learner, album_of_places):
    activations, places = album_of_places
    vectors = encode(learner.default.baseline, activations).numpy()
    first = dict(candidates(learner, activations, vectors, places, np.array([0, 1])))
    others = activations.clone()
    others[:8] = others[:8].flip(0) + 1
    second = dict(candidates(learner, others, encode(learner.default.baseline, others).numpy(), places, np.array([0, 1])))
    for name, candidate in first.items():
        for bits, layer in candidate.layers.items():
            assert (layer.linear.weight == second[name].layers[bits].linear.weight).all()


def test_what_is_learned_is_the_best_candidate(learner, album_of_places):
    activations, places = album_of_places
    networks, table = learn(learner, activations, places)
    assert table["codes"].tolist() == ["default", "own pairs", "fine-tuned"] * 2
    used = table[table["chosen"]]
    assert used["bits"].tolist() == [16, 8]
    assert used["codes"].nunique() == 1
    assert used["difference"].sum() == pytest.approx(table.groupby("codes")["difference"].sum().max())
    again, same = learn(learner, activations, places)
    assert same.equals(table)
    for bits, network in networks.items():
        assert (encode(again[bits], activations) == encode(network, activations)).all()


@pytest.mark.parametrize("places", [0, 1, 3])
def test_too_few_places(learner, album_of_places, places):
    activations, all_places = album_of_places
    group = np.where(all_places.group < places, all_places.group, -1)
    few = Places(group, all_places.pairs[group[all_places.pairs[:, 0]] >= 0])
    networks, table = learn(learner, activations, few)
    assert table["codes"].tolist() == ["default", "own statistics"] * 2
    assert table["chosen"].tolist() == [False, True] * 2
    assert f"{places} places have" in table["why"].iloc[1]
    vectors = encode(learner.default.baseline, activations).numpy()
    expected = assemble(learner.default.baseline, own_statistics(learner.default, vectors)[16])
    assert (encode(networks[16], activations) == encode(expected, activations)).all()
