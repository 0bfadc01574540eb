"""Expanded queries: by hand, equal to a slow loop over every order of ties, and degenerate ones."""

from itertools import combinations, product

import numpy as np
import pytest

from bcdh_lib.core.codes import distances, hamming, pack, unpack
from bcdh_lib.params import Expansion
from bcdh_lib.retrieval.rerank import expanded_distances

NOBODY = np.array([-1])


def code(*flipped, bits=8):
    """The code of all +1 but these bits."""
    signs = np.ones((1, bits))
    signs[0, list(flipped)] = -1
    return pack(signs)


def asymmetric(query, code):
    """Sum of |query k| over the bits in which the code's sign differs."""
    return np.abs(query)[np.sign(query) * code < 0].sum()


def test_by_hand():
    """Photos at 0, 2 and 4 of 8 bits are similar by 1, 1/2 and 0; of two neighbours bits 0 and 1 get (1 + 1 - 1/2) / 5/2 = .6."""
    database = np.concatenate([code(0, 1, 2, 3), code(), code(0, 1)])
    found = expanded_distances(code(), database, NOBODY, Expansion(neighbours=2, alpha=1.0))
    assert found == pytest.approx(np.array([[0.6 * 2 + 2, 0, 0.6 * 2]]))


def test_a_tie_past_the_last_place_counts_as_a_whole_by_hand():
    """One place for two photos at distance 2, similar by 1/2: each has half of it. Bits 0 and 2: (1 + 1/4 - 1/4) / 3/2 = 2/3;
    bit 1: (1 - 1/2) / 3/2 = 1/3."""
    database = np.concatenate([code(0, 1), code(1, 2)])
    found = expanded_distances(code(), database, NOBODY, Expansion(neighbours=1, alpha=1.0))
    assert found == pytest.approx(np.array([[1, 1]]))


def slow_mean(own, others, settings):
    """The mean over every order of ties of one photo's weighted mean; real values, no code of the library."""
    length = len(own) if set(np.abs(own)) == {1.0} and len(own) % 8 == 0 else 1
    similarity = [round(float(own @ other) / length, 5) for other in others]
    taken, places = [], min(settings.neighbours, len(others))
    for value in sorted(set(similarity), reverse=True):
        tie = [row for row, each in enumerate(similarity) if each == value]
        taken.append(list(combinations(tie, min(places, len(tie)))))
        places -= min(places, len(tie))
    orders = []
    for choice in product(*taken):
        rows = [row for part in choice for row in part]
        weights = [max(0.0, similarity[row]) ** settings.alpha for row in rows]
        orders.append(sum([w * others[row] for w, row in zip(weights, rows, strict=True)], own) / (1 + sum(weights)))
    return np.mean(orders, axis=0)


@pytest.mark.parametrize("expansion", [Expansion(neighbours=3, alpha=2.0), Expansion(neighbours=2, alpha=0.0)])
@pytest.mark.parametrize("binary", [True, False])
def test_it_equals_a_slow_loop(expansion, binary):
    """On a database without the photo that a query ignores. Codes of 8 bits tie much."""
    everything = np.random.default_rng(3).normal(size=(14, 8 if binary else 5)) + 0.5
    real = np.where(everything >= 0, 1.0, -1.0) if binary else everything / np.linalg.norm(everything, axis=1, keepdims=True)
    stored = pack(real) if binary else real.astype(np.float32)
    ignored = np.array([-1, 4, 9, -1])
    found = expanded_distances(stored[10:], stored[:10], ignored, expansion)
    assert np.isfinite(found).all()
    for query, row, distance in zip(real[10:], ignored, found, strict=True):
        there = np.delete(np.arange(10), row) if row >= 0 else np.arange(10)
        mean = slow_mean(query, real[there], expansion)
        slow = [asymmetric(mean, each) if binary else 2 - 2 * mean @ each / np.linalg.norm(mean) for each in real[there]]
        assert distance[there] == pytest.approx(slow, abs=1e-5)


def test_the_order_of_the_database_changes_nothing():
    """Not one digit, though every distance ties and a weight is no fraction of two."""
    random = np.random.default_rng(0)
    database, queries = random.integers(0, 4, (40, 2), np.uint8), random.integers(0, 4, (5, 2), np.uint8)
    order, ignored = random.permutation(40), np.full(5, -1)
    for settings in (Expansion(neighbours=3, alpha=2.0), Expansion(neighbours=7, alpha=0.37)):
        found = expanded_distances(queries, database, ignored, settings)
        assert (expanded_distances(queries, database[order], ignored, settings) == found[:, order]).all()


@pytest.mark.parametrize("binary", [True, False])
def test_few_neighbours_and_none(binary):
    """Neighbours equal to the query, or none: distances stay as they are."""
    real = np.random.default_rng(1).normal(size=(4, 16))
    stored = pack(real) if binary else (real / np.linalg.norm(real, axis=1, keepdims=True)).astype(np.float32)
    plain, many = distances(stored[:1], stored[1:2]), Expansion(neighbours=99, alpha=0.0)
    assert expanded_distances(stored[:1], stored[1:2], np.array([0]), many) == pytest.approx(plain, abs=1e-6)
    same = np.repeat(stored[:1], 3, axis=0)
    assert expanded_distances(stored[:1], same, NOBODY, many) == pytest.approx(np.zeros((1, 3)), abs=1e-6)
    database = np.concatenate([code(bits=64)] * 3 + [code(5, 6, bits=64), code(8, 9, bits=64)])
    found = expanded_distances(code(bits=64), database, NOBODY, Expansion(neighbours=3, alpha=3.0))
    assert found.tolist() == hamming(code(bits=64), database).tolist()
    assert (unpack(database)[0] == 1).all()
