"""End to end: blocks and layer move by the loss on codes; the start stays unless a round is better."""

import pytest
import torch

from bcdh_lib.comparison.plan import changed
from bcdh_lib.training.encoding import encode
from bcdh_lib.training.end_to_end import train_end_to_end
from bcdh_lib.training.hash_layer import assemble, train_hash_layer
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import encode_training_set, set_whitening
from bcdh_lib.training.validation import validation_map


@pytest.fixture
def start(training_set, params):
    """A hash network of 16 bits after its layer's training, and its history."""
    baseline = HashNetwork(params.network, None)
    set_whitening(baseline, training_set)
    vectors = encode_training_set(baseline, training_set)
    layer, history = train_hash_layer(vectors, params, "binary_constrained", 16, 3)
    return assemble(baseline, layer), history


def settings(params, **changes):
    return changed(params, {"training.end_to_end": {"rounds": 3, "steps_per_round": 4, "photos": 16} | changes})


def map_of(network, training_set):
    return validation_map(training_set.group, training_set.train, encode(network, training_set.views), 16)


def moved(before, after, *parts):
    """Those of the parts whose weights differ."""
    weights = {part: [getattr(network, part).parameters() for network in (before, after)] for part in parts}
    return [part for part, both in weights.items() if not all(map(torch.equal, *both))]


@pytest.mark.parametrize("method", ["binary_constrained", "hashnet"])
def test_the_best_round_is_kept_and_repeats(training_set, params, start, method):
    network, before = start
    params = settings(params, learning_rate=1e-3)
    trained, history = train_end_to_end(network, training_set, params, method, 3, before)
    assert history[: len(before)] == before
    assert len(history) == len(before) + 3
    best = max(row["validation_map"] for row in history)
    assert map_of(trained, training_set) == pytest.approx(best)
    again, repeated = train_end_to_end(network, training_set, params, method, 3, before)
    assert repeated == history
    assert all(torch.equal(a, b) for a, b in zip(trained.state_dict().values(), again.state_dict().values(), strict=True))


def test_blocks_and_layer_move_and_the_frozen_ones_stay(training_set, params, start):
    network, before = start
    worst = [before[0] | {"validation_map": -1.0}]  # any round is better
    trained, _ = train_end_to_end(network, training_set, settings(params, rounds=1), "binary_constrained", 3, worst)
    assert moved(network, trained, "early", "late", "whitening", "hash_layer") == ["late", "hash_layer"]


def test_if_no_round_is_better_the_start_is_kept(training_set, params, start):
    network, before = start
    best = [before[0] | {"validation_map": 2.0}]
    assert train_end_to_end(network, training_set, settings(params), "dsh", 3, best)[0] is network


def test_the_float_baseline_trains_on_alone(training_set, params):
    baseline = HashNetwork(params.network, None)
    set_whitening(baseline, training_set)
    before = [{"round": 0, "loss": 0.0, "quantization": 0.0, "validation_map": -1.0}]
    trained, history = train_end_to_end(baseline, training_set, settings(params, rounds=1), "float", 3, before)
    assert trained.hash_layer is None
    wanted = validation_map(training_set.group, training_set.train, encode(trained, training_set.views), None)
    assert history[1]["validation_map"] == pytest.approx(wanted, abs=1e-6)
    assert moved(baseline, trained, "early", "late", "whitening") == ["late", "whitening"]
