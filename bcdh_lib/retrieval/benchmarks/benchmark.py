"""A retrieval benchmark in memory: database photos, queries, and what answers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """A query photo (by its name), cropped to a box (px: left, top, right, bottom) where there is one.

    `positives` answer it; `junk` is dropped from the ranking before scoring. Both are names of database photos.
    """

    name: str
    photo: str
    box: Box | None
    positives: frozenset[str]
    junk: frozenset[str]


@dataclass(frozen=True)
class Benchmark:
    """The database in its own order (names, and where the photos are) and the queries in theirs.

    `query_photos` are those of queries that are not in the database. Benchmarks that ask the same queries of the same photos and
    differ only in what answers them have one `collection`: its photos are encoded once for all of them.
    """

    name: str
    photos: dict[str, Path]
    queries: list[Query]
    query_photos: dict[str, Path] = field(default_factory=dict)
    collection: str = ""

    def __post_init__(self) -> None:
        for query in self.queries:
            missing = (({query.photo} - self.query_photos.keys()) | query.positives | query.junk) - self.photos.keys()
            if missing:
                raise StudyError(
                    f"{self.name}: query {query.name} names {one_line(min(missing))}, which is not among the photos; "
                    "unpack the benchmark's photos whole"
                )

    @property
    def encoded_as(self) -> str:
        """The name its codes bear."""
        return self.collection or self.name

    def photo_of(self, query: Query) -> Path:
        """Where a query's photo is."""
        return self.photos[query.photo] if query.photo in self.photos else self.query_photos[query.photo]

    def positive(self) -> NDArray[np.bool_]:
        """Which database photo answers which query, bool [queries, database]."""
        return self._marked([query.positives for query in self.queries])

    def junk(self) -> NDArray[np.bool_]:
        """Which database photo is dropped for which query, bool [queries, database]."""
        return self._marked([query.junk for query in self.queries])

    def ignored_rows(self) -> NDArray[np.int64]:
        """Where the database holds a query's own photo that its protocol ignores, int [queries]; -1 where there is none."""
        place = {name: index for index, name in enumerate(self.photos)}
        return np.array([place[q.photo] if q.photo in q.junk else -1 for q in self.queries], dtype=np.int64)

    def _marked(self, named: list[frozenset[str]]) -> NDArray[np.bool_]:
        place = {name: index for index, name in enumerate(self.photos)}
        marks = np.zeros((len(named), len(place)), dtype=bool)
        for query, names in enumerate(named):
            marks[query, [place[name] for name in names]] = True
        return marks
