"""INRIA Holidays: jpg/NNNNNN.jpg (or images/); the name is the ground truth.

Photos whose number shares all but the last two digits are one group. Its first photo (number divisible by 100) is the query,
the others are its positives. The query itself is in the database and is ignored wherever it ranks. Queries are whole photos.
Photos are read as they are stored: to compare with results on the "manually rotated" set, put that one there.
"""

from pathlib import Path

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.form import Form, Published
from bcdh_lib.retrieval.benchmarks.photo_files import photo_folder, photos_in

FORM = Form(
    read=lambda study, folder, variant: read_holidays(folder),
    made_by_study=("rendered_holidays",),
    published={
        "holidays": Published(1491, 500, tuple(f"http://pascal.inrialpes.fr/data/holidays/jpg{n}.tar.gz" for n in (1, 2)))
    },
)


def read_holidays(folder: Path) -> Benchmark:
    """The benchmark in `folder`. Raises StudyError if a photo's name is not a number or a group lacks its query."""
    photos = photos_in(folder)
    for stem, path in photos.items():
        if not (stem.isascii() and stem.isdigit()):
            raise StudyError(f"{one_line(path, 1000)}: a Holidays photo is named by its number, such as 100001.jpg")
    try:
        return Benchmark(folder.name, photos, group_queries(list(photos)))
    except StudyError as error:
        raise StudyError(f"{photo_folder(folder)}: {error}") from None


def group_queries(stems: list[str]) -> list[Query]:
    """One query a group, sorted by name, from the photos' numbers. Raises StudyError if a group lacks its query."""
    groups: dict[str, set[str]] = {}
    for stem in sorted(stems):
        groups.setdefault(stem[:-2], set()).add(stem)
    queries = []
    for group, members in groups.items():
        query = f"{group}00"
        if query not in members:
            raise StudyError(f"{min(members)}.jpg: the first photo of its group, {query}.jpg, is not there")
        queries.append(Query(query, query, None, frozenset(members - {query}), frozenset({query}), group))
    return queries
