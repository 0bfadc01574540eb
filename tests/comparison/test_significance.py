"""Bootstrap over places and seeds, and Holm's correction: by hand, against loops, and without anything to tell apart."""

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison import significance
from bcdh_lib.comparison.significance import DRAWS, MEAN, bootstrap, difference, differences, holm, interval


def rows_of(ap, benchmark="b"):
    """Rows of `queries` with AP [seeds, queries], each query of a place of its own."""
    return pd.DataFrame(
        {"benchmark": benchmark, "seed": seed, "query": f"q{k}", "group": f"place {k}", "positives": 1, "ap": value}
        for seed, row in enumerate(ap)
        for k, value in enumerate(row)
    )


def test_holm_by_hand():
    """Sorted .01, .03, .04 times 3, 2, 1 is .03, .06, .04, and none may be below one before it."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_bootstrap_equals_a_loop_over_the_same_draws():
    """Two benchmarks of 4 places with 1 to 3 queries, 3 seeds: each draw's mean is taken over rows picked one by one."""
    generator = np.random.default_rng(1)
    places = np.array([0, 1, 1, 2, 2, 2, 3])
    values = pd.concat(
        rows_of(generator.random((3, 7)), name).assign(group=lambda rows: [f"p{places[int(q[1:])]}" for q in rows["query"]])
        for name in ("a", "b")
    ).rename(columns={"ap": "value"})
    draws = bootstrap(values, draws=20, seed=5)
    seeds = significance._counts(5, 20, 3)
    for draw in range(20):
        means = []
        for number, name in enumerate("ab"):
            counts, drawn = significance._counts(6 + number, 20, 4)[draw], []
            for row in values[values["benchmark"] == name].itertuples():
                drawn += [row.value] * int(seeds[draw, row.seed] * counts[int(row.group[1:])])
            means.append(np.mean(drawn))
        assert draws[draw] == pytest.approx(np.mean(means))


def test_independent_queries_give_the_normal_interval():
    ap = np.random.default_rng(2).normal(0.5, 0.2, (1, 100))
    found = interval(bootstrap(rows_of(ap).rename(columns={"ap": "value"})))
    half = 1.96 * ap.std(ddof=1) / 10
    assert found["low"] == pytest.approx(ap.mean() - half, abs=0.2 * half)
    assert found["high"] == pytest.approx(ap.mean() + half, abs=0.2 * half)


def test_difference_is_paired_and_knows_its_chance():
    base = np.random.default_rng(5).random((2, 30))
    first, second = rows_of(base + 0.1), rows_of(base)
    found = difference(first, second)
    assert (found["places"], found["seeds"]) == (30, 2)
    assert [found[key] for key in ("difference", "low", "high")] == pytest.approx([0.1] * 3)  # paired: no variance at all
    assert found["p"] == pytest.approx(1 / DRAWS)
    assert difference(second, second)["p"] == 1
    noise = [np.random.default_rng([6, k]).normal(0, 1, (2, 1, 40)) for k in range(100)]
    false = sum(difference(rows_of(a), rows_of(b))["p"] < 0.05 for a, b in noise)
    assert false < 15  # about 5 of 100


def test_differences_by_benchmark_and_holm_within_each_family():
    """In the family of three, what is better by .2 in every place stays sure; a difference of noise does not."""
    base = np.random.default_rng(7).random((1, 12))
    same, better = (pd.concat(rows_of(base + more, name) for name in ("b", "c")) for more in (0, 0.2))
    asked = [({"question": name, "bits": 16}, better, same) for name in ("a", "a", "other")] + [
        ({"question": "a", "bits": 16}, same, same)
    ]
    table = differences(asked, ["question", "benchmark", "bits"], ["question", "benchmark"])
    assert table["benchmark"].tolist() == [MEAN, "b", "c"] * 4
    mean = table[table["benchmark"] == MEAN]
    assert mean["p_holm"].tolist() == pytest.approx([3 / DRAWS, 3 / DRAWS, 1 / DRAWS, 1])
    assert mean["verdict"].tolist() == ["better", "better", "better", "undecided"]
    assert mean["difference"].tolist() == pytest.approx([0.2, 0.2, 0.2, 0])
    worse = differences([({"bits": 16}, same, better)], ["bits"], ["bits"], each_benchmark=False)
    assert worse["verdict"].tolist() == ["worse"]
    assert differences([], ["question", "benchmark", "bits"], ["question", "benchmark"]).empty
