"""What the tests of several folders call: expectations, and made-up vectors."""

from contextlib import contextmanager

import numpy as np
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.training_set import TrainingSet


@contextmanager
def refused(message):
    """Expects a StudyError of one line in which the pattern is found."""
    with pytest.raises(StudyError, match=message) as caught:
        yield
    assert len(str(caught.value).splitlines()) == 1


def contents(folder):
    """The bytes of every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def draw_vectors(groups=20, each=6, meaning=8, noise=24, seed=0):
    """Unit vectors whose first numbers hold the photo's group and whose many others are noise of more variance."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    telling, others = generator.normal(size=(groups, meaning))[group], 1.2 * generator.normal(size=(len(group), noise))
    vectors = np.concatenate([telling, others], 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.array([(i, j) for i in range(len(group)) for j in range(len(group)) if i != j and group[i] == group[j]])
    return TrainingSet(vectors[:, None].astype(np.float32), group, group < 0.8 * groups, pairs)
