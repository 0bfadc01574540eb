"""Validation: by hand, and in blocks as at once."""

import numpy as np
import pytest
import torch

from bcdh_lib.training import validation
from bcdh_lib.training.validation import validation_map

GROUP, TRAIN = np.repeat(np.arange(6), 4), np.arange(24) < 16


def test_by_hand():
    """Outputs that name the group give mAP 1; equal outputs leave 3 positives among 23 photos in random order."""
    named = torch.nn.functional.one_hot(torch.from_numpy(GROUP), 8).float() * 2 - 1
    assert validation_map(GROUP, TRAIN, named, 8) == pytest.approx(1)
    orders = [np.random.default_rng(seed).permutation(23) < 3 for seed in range(4000)]
    chance = np.mean([np.mean(np.arange(1, 4) / (np.flatnonzero(order) + 1)) for order in orders])
    assert validation_map(GROUP, TRAIN, torch.zeros(24, 8), 8) == pytest.approx(chance, abs=0.01)


def test_training_photos_are_no_distractors_where_enough_groups_are_held_apart():
    """Training photos that lie on the held-apart ones change nothing; with fewer groups they do."""
    group, outputs = np.repeat(np.arange(12), 4), torch.randn(48, 16, generator=torch.Generator().manual_seed(3))
    for held, expected in ((8, False), (7, True)):
        train = group < 12 - held
        copied = outputs.clone()
        copied[torch.from_numpy(train)] = outputs[-1]
        differs = validation_map(group, train, outputs, 16) != validation_map(group, train, copied, 16)
        assert differs == expected


def test_in_blocks_as_at_once(monkeypatch):
    outputs = torch.randn(24, 16, generator=torch.Generator().manual_seed(3))
    whole = [validation_map(GROUP, TRAIN, outputs, bits) for bits in (16, None)]
    monkeypatch.setattr(validation, "QUERIES", 3)
    assert [validation_map(GROUP, TRAIN, outputs, bits) for bits in (16, None)] == pytest.approx(whole, abs=1e-12)
