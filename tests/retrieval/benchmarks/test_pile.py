"""The pile as a benchmark: by hand, and without groups held apart."""

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import write_table
from bcdh_lib.retrieval.benchmarks import read_benchmark
from bcdh_lib.retrieval.benchmarks.pile import held_apart_queries, read_pile
from bcdh_lib.study import Study


def members(splits):
    return pd.DataFrame({"photo_id": range(5), "model_id": 0, "group_id": [0, 0, 1, 1, 2], "split": splits})


def test_by_hand(tmp_path, params):
    study = Study(tmp_path, params)
    write_table(study.pairs, "members", members(["train", "train", "test", "test", "test"]))
    benchmark = read_pile(study)
    assert [query.name for query in benchmark.queries] == ["2", "3"]
    assert benchmark.positive().tolist() == [[False, False, False, True, False], [False, False, True, False, False]]
    assert benchmark.junk().tolist() == [[False, False, True, False, False], [False, False, False, True, False]]
    assert benchmark.photos["3"] == study.image(3)


def test_nothing_held_apart(tmp_path, params):
    assert held_apart_queries(members(["train"] * 5)) == []
    study = Study(tmp_path, params)
    write_table(study.pairs, "members", members(["train"] * 5))
    with pytest.raises(StudyError, match=r"set pairs\.test_share above 0"):
        read_pile(study)


def test_an_unknown_or_absent_benchmark_is_named(tmp_path, params):
    study = Study(tmp_path, params)
    with pytest.raises(StudyError, match="oxbridge is unknown; known: rendered_oxford"):
        read_benchmark(study, "oxbridge")
    with pytest.raises(StudyError, match="rendered_paris: is not there"):
        read_benchmark(study, "rendered_paris")
