"""Learned whitening: by hand in two dimensions, against its definition, and where pairs say nothing."""

import numpy as np
import pytest

from bcdh_lib.training.whitening import learn_whitening


def test_by_hand():
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
