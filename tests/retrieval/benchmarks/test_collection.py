"""The collection itself as a benchmark: by hand, and without groups held apart."""

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import write_table
from bcdh_lib.retrieval.benchmarks.collection import held_apart_queries, read_collection


def members(splits):
    return pd.DataFrame({"photo_id": range(5), "model_id": 0, "group_id": [0, 0, 1, 1, 2], "split": splits})


def test_by_hand(study):
    write_table(study.pairs, "members", members(["train", "train", "test", "test", "test"]))
    benchmark = read_collection(study)
    assert [(query.name, query.group) for query in benchmark.queries] == [("2", "1"), ("3", "1")]
    assert benchmark.positive().tolist() == [[False, False, False, True, False], [False, False, True, False, False]]
    assert benchmark.junk().tolist() == [[False, False, True, False, False], [False, False, False, True, False]]
    assert benchmark.photos["3"] == study.image(3)


def test_nothing_held_apart(study):
    assert held_apart_queries(members(["train"] * 5)) == []
    write_table(study.pairs, "members", members(["train"] * 5))
    with pytest.raises(StudyError, match=r"pairs\.test_share"):
        read_collection(study)
