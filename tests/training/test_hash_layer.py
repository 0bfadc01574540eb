"""The hash layer, alone and with its blocks: starts from ITQ, learns, is never worse than its start, repeats, assembles."""

import numpy as np
import pytest
import torch

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.encoding import encode
from bcdh_lib.training.end_to_end import train_end_to_end
from bcdh_lib.training.hash_layer import assemble, start_layer, train_hash_layer
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.losses import LOSSES
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, encode_training_set, set_whitening
from bcdh_lib.training.validation import validation_map
from tests.helpers import draw_vectors


def outputs_of(layer, vectors):
    with torch.no_grad():
        return layer(torch.from_numpy(vectors.vectors))


def longer(params, **changes):
    return changed(params, {"training.hash_layer": {"rounds": 5, "steps_per_round": 10, "photos": 64} | changes})


def test_the_start_is_itq_of_the_training_photos_and_centred_on_them():
    vectors = draw_vectors()
    layer, train = start_layer(vectors, 16, 7), vectors.vectors[vectors.train]
    np.testing.assert_allclose(layer.linear.weight.detach().numpy(), itq_projection(train, 16, 7), atol=1e-6)
    outputs = outputs_of(layer, vectors)[vectors.train]
    torch.testing.assert_close(outputs.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs.std(0), torch.ones(16), atol=1e-2, rtol=0)


@pytest.mark.parametrize("method", LOSSES)
def test_every_method_learns_and_repeats(params, method):
    vectors, params = draw_vectors(), longer(params)
    layer, history = train_hash_layer(vectors, params, method, 16, 3)
    assert [row["round"] for row in history] == list(range(6))
    best = max(row["validation_map"] for row in history)
    assert best > history[0]["validation_map"]
    assert validation_map(vectors.group, vectors.train, outputs_of(layer, vectors), 16) == best
    again, _ = train_hash_layer(vectors, params, method, 16, 3)
    assert all(map(torch.equal, layer.state_dict().values(), again.state_dict().values()))


def test_if_no_round_is_better_the_start_is_kept(params):
    """Held-apart photos whose groups no direction tells."""
    vectors = draw_vectors()
    vectors.vectors[~vectors.train] = vectors.vectors[~vectors.train][0]
    layer, history = train_hash_layer(vectors, longer(params, rounds=1), "dsh", 16, 3)
    assert history[1]["validation_map"] <= history[0]["validation_map"]
    assert torch.equal(layer.linear.weight, start_layer(vectors, 16, 3).linear.weight)


def test_a_loss_that_is_not_finite_names_the_rate(params):
    vectors = draw_vectors()
    broken = changed(params, {"losses.dsh": {"learning_rate": 1e30, "quantization_weight": 1e30}})
    with pytest.raises(StudyError, match=r"lower losses\.dsh\.learning_rate"):
        train_hash_layer(vectors, longer(broken), "dsh", 16, 3)


def test_the_assembled_network_goes_from_pixels_to_the_layers_outputs(params):
    baseline = HashNetwork(params.network, None).eval()
    baseline.whitening.load_state_dict({"weight": torch.diag(torch.rand(1280) + 1), "bias": torch.rand(1280) / 50})
    views = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors = baseline(views)
        training = TrainingSet(vectors[:, None].numpy(), np.array([0, 0, 1, 1]), np.ones(4, dtype=bool), np.array([[0, 1]]))
        layer = start_layer(training, 8, 3)
        network = assemble(baseline, layer)
        torch.testing.assert_close(network(views), layer(vectors))
        assert network.bits == 8
        torch.testing.assert_close(network.hash_layer(vectors), layer(vectors))


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


def moved(before, after, *parts):
    """Those of the parts whose weights differ."""
    weights = {part: [getattr(network, part).parameters() for network in (before, after)] for part in parts}
    return [part for part, both in weights.items() if not all(map(torch.equal, *both))]


@pytest.mark.parametrize("method", ["binary_constrained", "hashnet"])
def test_end_to_end_the_best_round_is_kept_and_repeats(training_set, params, start, method):
    network, before = start
    params = settings(params, learning_rate=1e-3)
    trained, history = train_end_to_end(network, training_set, params, method, 3, before)
    assert history[: len(before)] == before
    assert len(history) == len(before) + 3
    best = max(row["validation_map"] for row in history)
    outputs = encode(trained, training_set.views)
    assert validation_map(training_set.group, training_set.train, outputs, 16) == pytest.approx(best)
    again, repeated = train_end_to_end(network, training_set, params, method, 3, before)
    assert repeated == history
    assert all(torch.equal(a, b) for a, b in zip(trained.state_dict().values(), again.state_dict().values(), strict=True))


def test_blocks_and_layer_move_and_the_frozen_ones_stay(training_set, params, start):
    network, before = start
    worst = [before[0] | {"validation_map": -1.0}]  # any round is better
    trained, _ = train_end_to_end(network, training_set, settings(params, rounds=1), "binary_constrained", 3, worst)
    assert moved(network, trained, "early", "late", "whitening", "hash_layer") == ["late", "hash_layer"]


def test_end_to_end_the_start_is_kept_if_no_round_is_better(training_set, params, start):
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
