"""Expanded queries and augmented databases: by hand, equal to a slow loop over every order of ties, and degenerate ones."""

from itertools import combinations, product

import numpy as np
import pytest

from bcdh_lib.core.codes import distances, hamming, pack, unpack
from bcdh_lib.params import Expansion
from bcdh_lib.retrieval.expansion import NONE, expanded_distances, weighted_means

NOBODY = np.array([NONE])


def code(*flipped, bits=8):
    """The code of all +1 but these bits."""
    signs = np.ones((1, bits))
    signs[0, list(flipped)] = -1
    return pack(signs)


def means(photos, database, neighbours, alpha):
    settings = Expansion(neighbours=neighbours, alpha=alpha)
    return weighted_means(photos, database, settings, np.full((len(photos), 1), NONE))[0]


def test_a_query_by_hand():
    """Photos at 0, 2 and 4 of 8 bits are similar by 1, 1/2 and 0; of two neighbours bits 0 and 1 get (1 + 1 - 1/2) / 5/2."""
    database = np.concatenate([code(0, 1, 2, 3), code(), code(0, 1)])
    assert means(code(), database, 2, 1.0) == pytest.approx(np.array([[0.6, 0.6, 1, 1, 1, 1, 1, 1]]))
    found = expanded_distances(code(), database, NOBODY, Expansion(neighbours=2, alpha=1.0), None)
    assert found == pytest.approx(np.array([[0.8 * 2 + 2, 0.2 * 2, 0.8 * 2]]))


def test_a_tie_past_the_last_place_enters_whole_by_hand():
    """One place for two photos at distance 2, similar by 1/2: each has half of it. Bits 0 and 2: (1 + 1/4 - 1/4) / 3/2."""
    database = np.concatenate([code(0, 1), code(1, 2)])
    assert means(code(), database, 1, 1.0) == pytest.approx(np.array([[2 / 3, 1 / 3, 2 / 3, 1, 1, 1, 1, 1]]))


def test_a_database_by_hand():
    """The nearest of b and of c is the other, at a right angle to a: a stays. An undecided bit (alpha 0) stays too."""
    a, b, c = code(0, 1, 2, 3), code(7), code(6)
    found = expanded_distances(code(), np.concatenate([a, b, c]), NOBODY, None, Expansion(neighbours=1, alpha=0.0))
    assert found.tolist() == [[4, 1, 1]]
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    found = expanded_distances(vectors[:1], vectors, NOBODY, None, Expansion(neighbours=1, alpha=1.0))
    middle = np.array([0.6 * 0.8, 1 + 0.8 * 0.8]) / np.hypot(0.48, 1.64)
    assert found[0, 1] == pytest.approx(2 - 2 * middle[0], abs=1e-6)


def slow_mean(own, others, settings):
    """The mean over every order of ties of one photo's weighted mean; real values, no code of the library."""
    length = len(own) if set(np.abs(own)) == {1.0} and len(own) % 8 == 0 else 1
    similarity = [round(float(own @ other) / length, 5) for other in others]
    ranked = sorted(set(similarity), reverse=True)
    taken, places = [], min(settings.neighbours, len(others))
    for value in ranked:
        tie = [row for row, each in enumerate(similarity) if each == value]
        taken.append(list(combinations(tie, min(places, len(tie)))))
        places -= min(places, len(tie))
    orders = []
    for choice in product(*taken):
        rows = [row for part in choice for row in part]
        weights = [max(0.0, similarity[row]) ** settings.alpha for row in rows]
        orders.append(sum([w * others[row] for w, row in zip(weights, rows, strict=True)], own) / (1 + sum(weights)))
    return np.mean(orders, axis=0)


def slow_distances(query, database, expansion, augmentation):
    """Distances of a real query to a real database, photo by photo."""
    binary = len(query) % 8 == 0
    seen = database
    if augmentation:
        mixed = [slow_mean(each, np.delete(database, row, 0), augmentation) for row, each in enumerate(database)]
        # Signs, and where the mean is 0 the photo's own.
        signs = [np.where(np.abs(mean) < 1e-9, each, np.sign(mean)) for mean, each in zip(mixed, database, strict=True)]
        seen = np.array(signs if binary else [mean / np.linalg.norm(mean) for mean in mixed])
    if expansion:
        query = slow_mean(query, seen, expansion)
        query = query if binary else query / np.linalg.norm(query)
    return np.array([(len(query) - query @ each) / 2 if binary else 2 - 2 * query @ each for each in seen])


BOTH = [Expansion(neighbours=3, alpha=2.0), Expansion(neighbours=2, alpha=0.0), None]


@pytest.mark.parametrize("expansion", BOTH)
@pytest.mark.parametrize("augmentation", BOTH)
@pytest.mark.parametrize("binary", [True, False])
def test_it_equals_a_slow_loop(expansion, augmentation, binary):
    """Of a database without the photo that is not there for a query. Codes of 8 bits tie much."""
    random = np.random.default_rng(3)
    everything = random.normal(size=(14, 8 if binary else 5)) + 0.5
    real = np.where(everything >= 0, 1.0, -1.0) if binary else everything / np.linalg.norm(everything, axis=1, keepdims=True)
    stored = pack(real) if binary else real.astype(np.float32)
    own = np.array([NONE, 4, 9, NONE])
    found = expanded_distances(stored[10:], stored[:10], own, expansion, augmentation)
    assert np.isfinite(found).all()
    for query, absent, row in zip(real[10:], own, found, strict=True):
        there = np.delete(np.arange(10), absent) if absent != NONE else np.arange(10)
        assert row[there] == pytest.approx(slow_distances(query, real[there], expansion, augmentation), abs=1e-5)


def test_the_order_of_the_database_changes_nothing():
    """Not by one digit, though every distance ties and a weight is no fraction of two."""
    random = np.random.default_rng(0)
    database, queries = random.integers(0, 4, (40, 2), np.uint8), random.integers(0, 4, (5, 2), np.uint8)
    order, own = random.permutation(40), np.full(5, NONE)
    for settings in ((BOTH[0], None), (None, BOTH[0]), (Expansion(neighbours=7, alpha=0.37), BOTH[1])):
        found = expanded_distances(queries, database, own, *settings)
        assert (expanded_distances(queries, database[order], own, *settings) == found[:, order]).all()
    same = (database[:, None] == database[None]).all(2)
    assert all((len(set(found[0, twins])) == 1) for twins in same)


def test_codes_that_are_all_alike_and_real_distances_tie():
    """Neighbours that are all the query's own code leave Hamming distances; bits that weigh alike tie, to the last digit."""
    database = np.concatenate([code(bits=64)] * 3 + [code(5, 6, bits=64), code(8, 9, bits=64)])
    query = code(bits=64)
    found = expanded_distances(query, database, NOBODY, Expansion(neighbours=3, alpha=3.0), None)
    assert found.tolist() == hamming(query, database).tolist()
    found = expanded_distances(query, database, NOBODY, Expansion(neighbours=4, alpha=0.7), None)
    assert found[0, 3] == found[0, 4] == 2
    assert found[0, 0] == found[0, 1] == found[0, 2] > 0


@pytest.mark.parametrize("binary", [True, False])
def test_fewer_photos_than_neighbours(binary):
    """All there are count; a photo that alone is there, or whose only neighbour is not, stays as it is."""
    random = np.random.default_rng(1)
    real = random.normal(size=(4, 16))
    stored = pack(real) if binary else (real / np.linalg.norm(real, axis=1, keepdims=True)).astype(np.float32)
    many, all_there = Expansion(neighbours=99, alpha=0.0), unpack(stored) if binary else stored
    assert means(stored[:1], stored[1:], 99, 0.0) == pytest.approx(all_there.mean(0, keepdims=True), abs=1e-6)
    plain = distances(stored[:1], stored[1:2])
    for own in (NONE, 0):
        assert expanded_distances(stored[:1], stored[1:2], np.array([own]), None, many) == pytest.approx(plain, abs=1e-6)
    assert expanded_distances(stored[:1], stored[1:2], np.array([0]), many, many) == pytest.approx(plain, abs=1e-6)


def test_without_options_distances_are_the_plain_ones():
    database = np.random.default_rng(2).integers(0, 256, (9, 2), np.uint8)
    found = expanded_distances(database[:3], database, np.array([0, NONE, 2]), None, None)
    assert found.dtype == np.uint16
    assert (found == hamming(database[:3], database)).all()


def test_opposite_vectors_leave_nothing_and_no_nan():
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    assert expanded_distances(vectors[:1], vectors[1:], NOBODY, Expansion(neighbours=1, alpha=0.0), None).tolist() == [[2]]
