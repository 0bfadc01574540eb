"""A retrieval benchmark in memory: database photos, queries, and the photos that answer them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError, one_line

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """A query photo (by its name), cropped to a box (px: left, top, right, bottom) if there is one.

    positives: names of the database photos that answer it; junk: those dropped from the ranking before scoring.
    group: what the query shows (a landmark, a group of Holidays, a group of models). Queries of one group share their answers,
    so statistics resample groups. Default: the query's own name.
    """

    name: str
    photo: str
    box: Box | None
    positives: frozenset[str]
    junk: frozenset[str]
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.name)


@dataclass(frozen=True)
class Benchmark:
    """The database in its own order (name -> path) and the queries in theirs.

    query_photos: those of queries that are not in the database. photo_set: benchmarks with the same photos and queries, which
    differ only in the answers, share one photo set, and its photos are encoded once. Default: the benchmark's name.
    """

    name: str
    photos: dict[str, Path]
    queries: list[Query]
    query_photos: dict[str, Path] = field(default_factory=dict)
    photo_set: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "photo_set", self.photo_set or self.name)
        for query in self.queries:
            missing = (({query.photo} - self.query_photos.keys()) | query.positives | query.junk) - self.photos.keys()
            if missing:
                raise StudyError(
                    f"{self.name}: query {query.name} names {one_line(min(missing))}, which is not among the photos; "
                    "unpack all of the benchmark's photos"
                )

    def photo_of(self, query: Query) -> Path:
        """Path of a query's photo."""
        return self.photos[query.photo] if query.photo in self.photos else self.query_photos[query.photo]

    def positive(self) -> NDArray[np.bool_]:
        """Which database photo answers which query, bool [queries, database]."""
        return self._marked([query.positives for query in self.queries])

    def junk(self) -> NDArray[np.bool_]:
        """Which database photo is dropped for which query, bool [queries, database]."""
        return self._marked([query.junk for query in self.queries])

    def _marked(self, named: list[frozenset[str]]) -> NDArray[np.bool_]:
        row = {name: index for index, name in enumerate(self.photos)}
        marks = np.zeros((len(named), len(row)), dtype=bool)
        for query, names in enumerate(named):
            marks[query, [row[name] for name in names]] = True
        return marks
