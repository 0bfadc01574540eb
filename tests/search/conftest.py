"""What the default network is made of: a float baseline of which nothing was learned, and made-up vectors."""

import numpy as np
import pytest

from bcdh_lib.training.training_set import TrainingSet


@pytest.fixture(scope="session")
def baseline(untrained):
    return untrained(None)


@pytest.fixture(scope="session")
def vectors():
    """Of 8 groups of 4 photos, the last two held apart, in the network's 1280 channels."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(8), 4)
    views = (random.normal(size=(8, 1, 1280))[group] + random.normal(size=(32, 1, 1280))).astype(np.float32)
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    pairs = [(i, j) for i in range(32) for j in range(32) if i != j and group[i] == group[j]]
    return TrainingSet(views, group, group < 6, np.array(pairs))
