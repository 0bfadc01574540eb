"""The pile itself as a benchmark: photos of the groups of 3D models that training and validation never saw.

For a pile that has no annotated benchmark. Every photo of a group of split `test` is a query, the group's other photos answer
it, the query itself is ignored, and all photos in any model are the database. What no model holds is in neither.
"""

from __future__ import annotations

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.study import Study


def read_pile(study: Study) -> Benchmark:
    """The benchmark of the study's own pile. Raises StudyError where no group was held apart for it."""
    members = read_table(study.pairs, "members")
    queries = held_apart_queries(members)
    if not queries:
        raise StudyError("retrieval.benchmarks: pile needs groups of its own: set pairs.test_share above 0, such as 0.2")
    return Benchmark("pile", {str(photo): study.image(photo) for photo in members["photo_id"]}, queries)


def held_apart_queries(members: pd.DataFrame) -> list[Query]:
    """One query a photo of a group of split `test` that holds another photo, in the order of the table `members`."""
    test = members[members["split"] == "test"]
    groups = {group: frozenset(rows["photo_id"].astype(str)) for group, rows in test.groupby("group_id")}
    named = [(str(photo), groups[group]) for photo, group in zip(test["photo_id"], test["group_id"], strict=True)]
    return [Query(name, name, None, group - {name}, frozenset({name})) for name, group in named if len(group) > 1]
