"""Nearest by codes and by vectors: hand-worked, against a slow search, degenerate; the outputs are the study's own."""

import json

import numpy as np
import pytest
import torch

from bcdh_lib.core.codes import hamming
from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.encoding import BATCH, encode, load_network, nearest, nearest_by_checkpoint
from bcdh_lib.training.network import load_checkpoint
from bcdh_lib.training.training_set import encode_kept, keep
from bcdh_lib.training.views import Views

from .conftest import make_study


def test_nearest_codes_by_hand():
    codes = np.array([[0b0], [0b1], [0b11], [0b1111]], np.uint8)
    # 1 is one bit from 0 and from 2: the smaller row comes first.
    assert nearest(codes, 1).tolist() == [[0, 1, 0], [1, 0, 0], [2, 1, 0], [3, 2, 0]]
    assert nearest(codes, 9)[:, 1].tolist() == [1, 2, 3, 0, 2, 3, 1, 0, 3, 2, 1, 0]  # 2 is two bits from 0 and from 3
    assert nearest(codes, 9)[:, 2].tolist() == [0, 1, 2] * 4


def test_nearest_vectors_by_hand():
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [-1, 0]], np.float32)
    assert nearest(vectors, 1)[:, 1].tolist() == [1, 2, 1, 2]
    assert nearest(vectors, 3)[:3].tolist() == [[0, 1, 0], [0, 2, 1], [0, 3, 2]]


def slow(distance, neighbours):
    found = []
    for row, distances in enumerate(distance):
        others = sorted((value, other) for other, value in enumerate(distances) if other != row)
        found += [[row, other, place] for place, (_, other) in enumerate(others[:neighbours])]
    return found


def test_nearest_equals_a_slow_search():
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (60, 1), np.uint8)  # 8 bits: most distances tie
    vectors = random.integers(-3, 4, (60, 5)).astype(np.float32)  # whole numbers: products are exact, and tie too
    assert nearest(codes, 7).tolist() == slow(hamming(codes, codes).tolist(), 7)
    assert nearest(vectors, 7).tolist() == slow((-vectors @ vectors.T).tolist(), 7)


def test_equal_codes_and_a_single_one():
    """The last row does not find itself among so many equal ones: it takes the smallest all the same."""
    assert nearest(np.zeros((4, 2), np.uint8), 1).tolist() == [[0, 1, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]
    assert nearest(np.zeros((1, 2), np.uint8), 3).shape == (0, 3)


def test_the_outputs_are_those_of_the_study(checkpoint, draw_photo, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(BATCH + 1)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    network = load_checkpoint(checkpoint)[0]
    torch.set_num_threads(1)  # as encode is asked for: on some processors the sums of more threads round otherwise
    kept = keep(network, Views(paths, network.settings.side), 0, "")
    assert (encode(network, paths, 1) == encode_kept(network, kept).numpy()).all()


def test_no_photo_and_one(checkpoint, photos, tmp_path):
    study = make_study(tmp_path, photos[:1], candidates="codes", checkpoint=str(checkpoint))
    for ids in ([], [0]):
        assert nearest_by_checkpoint(study, ids, 5).shape == (0, 3)


def test_what_is_no_checkpoint_is_named(checkpoint, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"no tensors")
    path.with_suffix(".json").write_bytes(checkpoint.with_suffix(".json").read_bytes())
    with pytest.raises(StudyError, match=r"reconstruction\.checkpoint: .*a\.safetensors: .*; name a checkpoint") as raised:
        load_network(path)
    assert "\n" not in str(raised.value)
    path.write_bytes(checkpoint.read_bytes())
    facts = json.loads(checkpoint.with_suffix(".json").read_text()) | {"sha256": "0"}
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(StudyError, match=r"its bytes are not those that a\.json describes"):
        load_network(path)
