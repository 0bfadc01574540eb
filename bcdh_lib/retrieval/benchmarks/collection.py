"""The photo collection itself as a benchmark: groups of 3D models that training and validation never saw.

For a collection without an annotated benchmark. Every photo of a group of split `test` is a query, the group's other photos
answer it, the query itself is ignored, and the database is all photos in any model. Photos in no model are left out.
"""

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.form import Form
from bcdh_lib.study import Study

FORM = Form(read=lambda study, folder, variant: read_collection(study), made_by_study=("collection",), has_folder=False)


def read_collection(study: Study) -> Benchmark:
    """The benchmark of the study's own photos. Raises StudyError if no group was held apart for it."""
    members = read_table(study.pairs, "members")
    queries = held_apart_queries(members)
    if not queries:
        raise StudyError("retrieval.benchmarks: collection needs groups of its own: set pairs.test_share above 0, such as 0.2")
    return Benchmark("collection", {str(photo): study.image(photo) for photo in members["photo_id"]}, queries)


def held_apart_queries(members: pd.DataFrame) -> list[Query]:
    """One query a photo of a group of split `test` that holds another photo, in the order of the table `members`."""
    test = members[members["split"] == "test"]
    photos_of = {group: frozenset(rows["photo_id"].astype(str)) for group, rows in test.groupby("group_id")}
    return [
        Query(photo, photo, None, photos_of[group] - {photo}, frozenset({photo}), str(group))
        for photo, group in zip(test["photo_id"].astype(str), test["group_id"], strict=True)
        if len(photos_of[group]) > 1
    ]
