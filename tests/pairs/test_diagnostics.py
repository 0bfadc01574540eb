"""Precision of pairs against the truth: by hand, against loops, at the edges."""

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.pairs.diagnostics import diagnose, pair_precision


def test_by_hand():
    """Groups {0, 1} and {2, 3}; photo 1 shows b, as do 2 and 3."""
    members = pd.DataFrame({"photo_id": range(4), "group_id": [0, 0, 1, 1]})
    pairs = pd.DataFrame({"query_id": [0, 2], "positive_id": [1, 3]})
    found = pair_precision(pairs, members, pd.Series(["a", "b", "b", "b"]))
    assert found == {"similar_precision": 0.5, "dissimilar_precision": 0.5, "group_purity": 0.75}


def test_equals_a_loop_over_all_pairs():
    generator = np.random.default_rng(0)
    members = pd.DataFrame({"photo_id": range(40), "group_id": generator.integers(0, 6, 40)})
    landmark = pd.Series(generator.integers(0, 5, 40))
    across = [(i, j) for i in range(40) for j in range(i) if members.group_id[i] != members.group_id[j]]
    slow = np.mean([landmark[i] != landmark[j] for i, j in across])
    pairs = pd.DataFrame({"query_id": [1], "positive_id": [2]})
    assert pair_precision(pairs, members, landmark)["dissimilar_precision"] == pytest.approx(slow)


def test_one_group_and_no_pairs():
    members = pd.DataFrame({"photo_id": [0], "group_id": [0]})
    none = pair_precision(pd.DataFrame({"query_id": [], "positive_id": []}, dtype=int), members, pd.Series(["a"]))
    assert np.isnan(none["similar_precision"])
    assert np.isnan(none["dissimilar_precision"])


def test_without_truth_nothing_is_claimed(study):
    assert diagnose(study) == {}
