"""Sides from scales, and outputs averaged over them: by hand, equal to encoding at each side, and scales that collide."""

import numpy as np
import pytest
import torch

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.scales import AT_SCALES, encode_at, mean_over_scales, sides_by_folder, sides_of, unit
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import encode_kept, keep
from bcdh_lib.training.views import Views


@pytest.mark.parametrize(
    ("side", "scales", "wanted"),
    [
        (160, [1.0], [160]),
        (160, [1.0, 2**-0.5, 0.5], [160, 128, 96]),  # 113.1 is nearer to 128; 80 lies in the middle
        (160, [2**0.5, 1.0], [224, 160]),
        (150, [1.0, 1.01], [150, 160]),  # 1 is the side as it is
        (32, [0.1], [32]),
    ],
)
def test_sides_by_hand(side, scales, wanted):
    assert sides_of(side, scales) == wanted


def test_scales_of_one_side_are_named():
    with pytest.raises(StudyError, match=r"retrieval\.scales: 1 and 0\.95 both come to 160 px; leave one out"):
        sides_of(160, [1.0, 0.95])


def test_scales_are_off_where_they_are_one():
    assert sides_by_folder(150, [1.0]) == {"": [150]}
    assert sides_by_folder(160, [0.71]) == {"": [160], AT_SCALES: [128]}


def test_means_by_hand():
    """Of hash outputs as they are; of unit vectors as directions. One scale's stay, though their length is not quite 1."""
    first, second = np.array([[1, -3]], np.float32), np.array([[0, 1]], np.float32)
    assert mean_over_scales([first, second], 8).tolist() == [[0.5, -1]]
    assert mean_over_scales([np.array([[1, 0]], np.float32), second], None) == pytest.approx(np.full((1, 2), 2**-0.5))
    assert mean_over_scales([first], None) is first
    assert unit(np.zeros((1, 2))).tolist() == [[0, 0]]


def test_networks_see_each_side(params, tmp_path, draw_photo):
    """Equal to views made at each side, one network at a time."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    torch.manual_seed(0)
    networks = {name: HashNetwork(params.network, bits).eval() for name, bits in (("float", None), ("dsh-16", 16))}
    sides = {"": [64], AT_SCALES: [64, 96]}
    found = encode_at(sides, networks, Views(paths, 64), 0, "")
    for name, network in networks.items():
        small, large = (encode_kept(network, keep(network, Views(paths, side), 0, "")).numpy() for side in (64, 96))
        assert (found[""][name] == small).all()
        mean = (small + large) / 2
        wanted = mean if network.bits else mean / np.linalg.norm(mean, axis=1, keepdims=True)
        assert found[AT_SCALES][name] == pytest.approx(wanted, abs=1e-6)
        assert np.abs(found[AT_SCALES][name] - small).max() > 1e-3
