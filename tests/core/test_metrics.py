"""Average precision and its kin: by hand, against every order of the ties, and at the edges."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from bcdh_lib.core.metrics import average_precision, precision_at, precision_at_recall, recall_within, tally, ties_of_distances

RULES = ["trapezoid", "rectangle"]


def slow_average_precision(relevance, rule):
    """The definition, one positive after another, for one order of one query."""
    total, found = 0.0, 0
    for rank, positive in enumerate(relevance):
        if positive:
            before = 1.0 if rank == 0 else found / rank
            found += 1
            at = found / (rank + 1)
            total += (before + at) / 2 if rule == "trapezoid" else at
    return total / found


def all_orders(distances, positive):
    """The relevance lists of every ranking that the distances allow."""
    for order in permutations(range(len(distances))):
        if all(distances[a] <= distances[b] for a, b in pairwise(order)):
            yield [positive[i] for i in order]


def test_by_hand():
    """Ranks 0 and 3 are positive: trapezoid (1 + 1)/2 and (1/3 + 2/4)/2, rectangle 1 and 2/4."""
    ties = ties_of_distances(np.array([[1, 2, 3, 4]]), np.array([[True, False, False, True]]))
    assert average_precision(ties, "trapezoid")[0] == pytest.approx((1 + (1 / 3 + 1 / 2) / 2) / 2)
    assert average_precision(ties, "rectangle")[0] == pytest.approx((1 + 1 / 2) / 2)
    assert precision_at(ties, 2)[0] == pytest.approx(0.5)
    assert recall_within(ties, 3)[0] == pytest.approx(0.5)
    assert precision_at_recall(ties, np.array([0.5, 1.0]))[0] == pytest.approx([1, 0.5])
    tie = ties_of_distances(np.array([[5, 5]]), np.array([[True, False]]))  # the positive is first or second
    bounds = [average_precision(tie, "rectangle", order)[0] for order in ("expected", "best", "worst")]
    assert bounds == pytest.approx([0.75, 1, 0.5])
    assert precision_at(tie, 1)[0] == 0.5


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_mean_and_bounds_over_every_order(rule, seed):
    generator = np.random.default_rng(seed)
    distances, positive = generator.integers(0, 3, (1, 7)), generator.random((1, 7)) < 0.5
    positive[0, 0] = True
    values = [slow_average_precision(order, rule) for order in all_orders(distances[0], positive[0])]
    ties = ties_of_distances(distances, positive)
    assert average_precision(ties, rule)[0] == pytest.approx(np.mean(values))
    assert average_precision(ties, rule, "best")[0] == pytest.approx(max(values))
    assert average_precision(ties, rule, "worst")[0] == pytest.approx(min(values))
    tops = [np.mean(order[:4]) for order in all_orders(distances[0], positive[0])]
    assert precision_at(ties, 4)[0] == pytest.approx(np.mean(tops))


@pytest.mark.parametrize("rule", RULES)
def test_junk_leaves_the_ranking_and_the_database_order_does_not_count(rule):
    generator = np.random.default_rng(3)
    distances = generator.integers(0, 9, (5, 60))
    positive, junk = generator.random((2, 5, 60)) < 0.3
    value = average_precision(ties_of_distances(distances, positive, junk), rule)
    shuffle = generator.permutation(60)
    moved = ties_of_distances(distances[:, shuffle], positive[:, shuffle], junk[:, shuffle])
    np.testing.assert_allclose(average_precision(moved, rule), value)
    for query in range(5):
        kept = ~junk[query]
        alone = ties_of_distances(distances[query, kept][None], positive[query, kept][None])
        assert average_precision(alone, rule)[0] == pytest.approx(value[query])


@pytest.mark.parametrize(("kind", "width"), [(np.uint8, 1), (np.uint8, 129), (np.uint16, 256), (np.uint16, 257), (np.int64, 257)])
def test_tally_equals_counting_each_distance(kind, width):
    distances = np.random.default_rng(width).integers(0, width, (3, 500)).astype(kind)
    slow = [[int((row == distance).sum()) for distance in range(width)] for row in distances]
    assert tally(distances, width).tolist() == slow
    assert tally(distances[:0], width).shape == (0, width)
    assert tally(distances[:, :0], width).tolist() == [[0] * width] * 3


def test_real_distances_tie_only_where_equal():
    distances = np.array([[0.5, 0.25, 0.5, 1.0], [3.0, 2.0, 1.0, 0.0]])
    ties = ties_of_distances(distances, np.array([[True, False, False, True], [False, False, True, False]]))
    assert ties.sizes[0, :3].tolist() == [1, 2, 1]
    assert ties.hits[0, :3].tolist() == [0, 1, 1]
    assert average_precision(ties, "rectangle")[1] == pytest.approx(0.5)


def test_degenerate():
    none = ties_of_distances(np.array([[1, 2]]), np.zeros((1, 2), dtype=bool))
    for rule in RULES:
        assert np.isnan(average_precision(none, rule)).all()
    assert np.isnan(precision_at(none, 1)).all()
    assert np.isnan(recall_within(none, 1)).all()
    empty = ties_of_distances(np.zeros((0, 4), dtype=int), np.zeros((0, 4), dtype=bool))
    assert average_precision(empty, "trapezoid").shape == (0,)
    everything = ties_of_distances(np.zeros((1, 6), dtype=int), np.ones((1, 6), dtype=bool))
    assert average_precision(everything, "trapezoid")[0] == pytest.approx(1)
    with pytest.raises(ValueError, match="NaN"):
        ties_of_distances(np.array([[np.nan]]), np.array([[True]]))
    with pytest.raises(ValueError, match="one shape"):
        ties_of_distances(np.zeros((1, 2)), np.zeros((1, 3), dtype=bool))
