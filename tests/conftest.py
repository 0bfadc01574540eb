"""What several tests share: the study's own settings, and tiny training sets of random activations."""

import numpy as np
import pytest
import torch

from bcdh_lib.study import find_root, open_study
from bcdh_lib.training_set import TrainingSet, prepare


@pytest.fixture(scope="session")
def params():
    """The study's settings with a small, quick network and a short training."""
    changes = {
        "run": {"threads": 1},
        "network": {"side": 64, "frozen_blocks": 15, "start": "random"},
        "training": {"rounds": 2, "steps_per_round": 2, "tuples": 4, "negatives": 2, "views": 1, "learning_rate": 1e-3},
    }
    params = open_study(changes, find_root()).params
    prepare(params)
    return params


@pytest.fixture
def training_set():
    """24 photos of 6 groups whose activations (of the blocks that `params` leaves to train) hold their group, and noise."""
    generator = torch.Generator().manual_seed(0)
    group = np.repeat(np.arange(6), 4)
    meaning, noise = torch.randn(6, 192, 1, 1, generator=generator), torch.randn(24, 2, 192, 2, 2, generator=generator)
    noise[:, :, :96] *= 3  # half of the channels carry no meaning: what training can find out
    meaning[:, :96] = 0
    pairs = np.array([(i, j) for i in range(24) for j in range(24) if i != j and group[i] == group[j]])
    return TrainingSet(meaning[group][:, None] + noise, group, group < 4, pairs, np.empty((24, 0)))
