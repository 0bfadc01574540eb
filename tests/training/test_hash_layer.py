"""The hash layer: starts from ITQ, learns, is never worse on held-apart places than its start, repeats, assembles."""

import numpy as np
import pytest
import torch

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.hash_layer import assemble, start_layer, train_hash_layer
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.losses import LOSSES
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet
from bcdh_lib.training.validation import validation_map


def draw_vectors(groups=20, each=6, meaning=8, noise=24, seed=0):
    """Unit vectors whose first numbers hold the photo's group and whose many others are noise of more variance."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    telling, others = generator.normal(size=(groups, meaning))[group], 1.2 * generator.normal(size=(len(group), noise))
    vectors = np.concatenate([telling, others], 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.array([(i, j) for i in range(len(group)) for j in range(len(group)) if i != j and group[i] == group[j]])
    return TrainingSet(vectors[:, None].astype(np.float32), group, group < 0.8 * groups, pairs)


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
