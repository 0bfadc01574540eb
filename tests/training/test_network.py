"""Network and checkpoints: every backbone, frozen against whole, pooling and whitening by hand, broken files."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.backbones import BACKBONES
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.whitening import learn_whitening


def settings_with(params, **changes):
    return params.network.model_copy(update=changes)


def some_views(n=2, side=64):
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_gives_outputs_and_trains_its_late_blocks(params, backbone):
    network = HashNetwork(settings_with(params, backbone=backbone, frozen_blocks=2), 16, pretrained=False).train()
    outputs = network(some_views(3))
    assert outputs.shape == (3, 16)
    outputs[:, 0].square().sum().backward()
    assert all(parameter.grad is None for parameter in network.early.parameters())
    assert any(parameter.grad is not None for parameter in network.late.parameters())


def test_the_pretrained_weights_are_there_and_freezing_does_not_change_what_is_computed(params):
    frozen, whole = (HashNetwork(settings_with(params, frozen_blocks=blocks), None).eval() for blocks in (12, 0))
    untrained = HashNetwork(settings_with(params, frozen_blocks=0), None, pretrained=False).eval()
    assert whole.trains_whole
    assert not frozen.trains_whole
    with torch.no_grad():
        torch.testing.assert_close(frozen(some_views()), whole(some_views()))
        assert not torch.allclose(untrained(some_views()), whole(some_views()), atol=1e-3)


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_bfloat16_gives_the_vectors_and_gradients_of_float32(params, device):
    """As a GPU computes them, every block training; the vectors of ten photos point where they did."""
    found = []
    for precise in (True, False):
        network = HashNetwork(settings_with(params, frozen_blocks=0), None).train().to(device)
        with torch.autocast(device, torch.bfloat16, enabled=not precise):
            vectors = network.pool(network.activations(some_views(10))).float()
        (vectors[:5] * vectors[5:]).sum().backward()
        found.append((vectors.detach().cpu(), network.late[17][0].weight.grad.flatten().cpu()))
    for exact, rounded in zip(*found, strict=True):
        assert F.cosine_similarity(exact, rounded, dim=-1).min() > 0.99


def test_pooling_by_hand(params):
    """GeM with power 3 over maps of 1 and 2: the cube root of 4.5; one map per channel, then the unit vector."""
    network = HashNetwork(settings_with(params, frozen_blocks=0), None, pretrained=False)
    network.late = torch.nn.Identity()
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 3.0]]]])
    expected = F.normalize(torch.tensor([[4.5 ** (1 / 3), 3.0]]), dim=1)
    torch.testing.assert_close(network.pool(maps), expected)


def test_whitening_is_the_identity_until_it_is_learned(params):
    network = HashNetwork(params.network, None, pretrained=False)
    units = F.normalize(torch.randn(3, 1280, generator=torch.Generator().manual_seed(0)), dim=1)
    torch.testing.assert_close(network.finish(units), units)
    network.whitening.load_state_dict({"weight": torch.diag(torch.arange(1280.0)), "bias": torch.ones(1280)})
    torch.testing.assert_close(network.finish(units), F.normalize(units * torch.arange(1280.0) + 1, dim=1))
    assert not any(parameter.requires_grad for parameter in network.whitening.parameters())
    assert HashNetwork(settings_with(params, whitening=None), None, pretrained=False).whitening is None


def test_checkpoints_come_back_equal_and_describe_themselves(params, tmp_path):
    network = HashNetwork(params.network, 16).eval()
    save_checkpoint(tmp_path / "net.safetensors", network, {"method": "dsh", "seed": 3})
    loaded, facts = load_checkpoint(tmp_path / "net.safetensors")
    assert facts["method"] == "dsh"
    assert facts["network"] == params.network.model_dump()
    with torch.no_grad():
        assert torch.equal(loaded(some_views()), network(some_views()))


def test_a_broken_checkpoint_is_named(params, tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(StudyError, match=r"net\.safetensors"):
        load_checkpoint(path)
    save_checkpoint(path, HashNetwork(params.network, 8, pretrained=False), {})
    good, facts = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
    broken = [(content, facts) for content in (b"", good[:100], good[:-9], good[:-1] + bytes([good[-1] ^ 1]))]
    for content, described in [*broken, (good, facts | {"bits": 16})]:
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps(described))
        with pytest.raises(StudyError, match=r"net\.safetensors"):
            load_checkpoint(path)


def test_more_frozen_blocks_than_there_are_are_named(params):
    with pytest.raises(StudyError, match="has 18 blocks"):
        HashNetwork(settings_with(params, frozen_blocks=19), 8, pretrained=False)


def test_learned_whitening_by_hand():
    """Similar photos differ by (2, 0) and by (0, 1): C_s ~ diag(4, 1), so the first axis shrinks to half of the second."""
    vectors = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]])
    matrix, offset = learn_whitening(vectors, np.array([[0, 1], [1, 2]]), 0.0)
    np.testing.assert_allclose(matrix, np.diag([2 / 3, 4 / 3]), atol=1e-12)
    np.testing.assert_allclose(offset, [-2 / 3 * 4 / 3, -4 / 3 / 3], atol=1e-12)


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 3.0])
def test_similar_photos_then_differ_alike_in_every_direction(shrinkage):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 5)) * [1, 2, 3, 4, 5] @ generator.normal(size=(5, 5))
    pairs = generator.integers(0, 60, (200, 2))
    matrix, offset = learn_whitening(vectors, pairs, shrinkage)
    moment = np.zeros((5, 5))
    for first, second in pairs:
        difference = vectors[first] - vectors[second]
        moment += np.outer(difference, difference) / len(pairs)
    moment += shrinkage * np.trace(moment) / 5 * np.eye(5)
    whitened = matrix @ moment @ matrix.T
    np.testing.assert_allclose(whitened / whitened[0, 0], np.eye(5), atol=1e-9)
    np.testing.assert_allclose(matrix @ vectors.mean(0) + offset, np.zeros(5), atol=1e-9)


@pytest.mark.parametrize("pairs", [np.empty((0, 2), dtype=np.int64), np.array([[1, 1]])])
def test_pairs_that_say_nothing_leave_the_vectors_centred(pairs):
    matrix, offset = learn_whitening(np.array([[1.0, 2.0], [3.0, 4.0]]), pairs, 3.0)
    assert matrix.tolist() == np.eye(2).tolist()
    assert offset.tolist() == [-2, -3]
