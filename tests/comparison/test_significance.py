"""Bootstrap and Holm's correction: by hand, against loops and the normal theory, and where there is nothing to tell apart."""

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison.significance import RESAMPLES, against_each, bootstrap, holm


def test_holm_by_hand():
    """Sorted .01, .03, .04 times 3, 2, 1 is .03, .06, .04, and none below one before it."""
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


def test_bootstrap_equals_a_loop_and_nearly_the_normal_theory():
    differences = np.random.default_rng(1).normal(0.05, 0.2, 60)
    found = bootstrap(differences)
    drawn = np.random.default_rng(0).integers(0, 60, (RESAMPLES, 60))
    means = sorted(sum(differences[place] for place in row) / 60 for row in drawn.tolist())
    assert found["low"] == pytest.approx(means[RESAMPLES // 40], abs=1e-4)
    error = differences.std(ddof=1) / 60**0.5
    assert found["difference"] == pytest.approx(differences.mean())
    assert found["low"] == pytest.approx(differences.mean() - 1.96 * error, abs=0.2 * error)
    assert found["high"] == pytest.approx(differences.mean() + 1.96 * error, abs=0.2 * error)
    chance = [bootstrap(np.random.default_rng(seed).normal(0, 1, 40))["p"] < 0.05 for seed in range(100)]
    assert 0 < sum(chance) < 15  # about 5 of 100 where there is no difference


def test_no_difference_and_a_constant_one():
    assert bootstrap(np.zeros(5)) == {"difference": 0, "low": 0, "high": 0, "p": 1}
    constant = bootstrap(np.full(5, -0.25))
    assert (constant["low"], constant["high"]) == (-0.25, -0.25)
    assert constant["p"] == pytest.approx(2 / (RESAMPLES + 1))


def queries_of(*systems):
    rows = [
        {
            "benchmark": "b",
            "method": method,
            "bits": bits,
            "seed": seed,
            "query": f"q{k}",
            "positives": int(k < 4),
            "ap": ap + k / 10,
        }
        for method, bits, ap in systems
        for seed in (1, 2)
        for k in range(5)
    ]
    return pd.DataFrame(rows)


def test_against_each_compares_codes_of_one_length_alone():
    queries = queries_of(("ours", 16, 0.5), ("ours", 32, 0.5), ("dsh", 16, 0.25), ("itq", 8, 0.1), ("float", None, 0.9))
    table = against_each(queries, "ours")
    assert table[["bits", "method", "queries"]].to_numpy().tolist() == [[16, "dsh", 4]]  # the fifth query has no positive
    assert table["difference"].item() == pytest.approx(0.25)
    assert table["p_holm"].item() == table["p"].item()
    assert against_each(queries_of(("ours", 16, 0.5)), "ours").empty
