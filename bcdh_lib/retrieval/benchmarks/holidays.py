"""INRIA Holidays: jpg/NNNNNN.jpg (or images/); the name is the ground truth.

The photos whose number shares all but the last two digits are one group; its first (number divisible by 100) is the query,
the others its positives. The query itself is in the database and is ignored wherever it ranks. Queries are whole photos.
Photos are taken as they are stored: put the upright set there ("manually rotated") where results of that are to be compared.
"""

from __future__ import annotations

from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.files import photo_folder, photos_in


def read_holidays(folder: Path) -> Benchmark:
    """The benchmark in `folder`; raises StudyError where a photo's name is not a number or a group lacks its query."""
    photos = photos_in(folder)
    for stem, path in photos.items():
        if not (stem.isascii() and stem.isdigit()):
            raise StudyError(f"{one_line(path, 1000)}: a Holidays photo is named by its number, such as 100001.jpg")
    try:
        return Benchmark(folder.name, photos, group_queries(list(photos)))
    except StudyError as error:
        raise StudyError(f"{photo_folder(folder)}: {error}") from None


def group_queries(stems: list[str]) -> list[Query]:
    """One query a group, sorted by name, from the photos' numbers. Raises StudyError where a group lacks its query."""
    groups: dict[str, set[str]] = {}
    for stem in sorted(stems):
        groups.setdefault(stem[:-2], set()).add(stem)
    queries = []
    for group, members in groups.items():
        query = f"{group}00"
        if query not in members:
            raise StudyError(f"{min(members)}.jpg: the first photo of its group, {query}.jpg, is not there")
        queries.append(Query(query, query, None, frozenset(members - {query}), frozenset({query})))
    return queries
