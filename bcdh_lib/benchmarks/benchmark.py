"""A retrieval benchmark in memory: database photos, queries, and what answers them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class BenchmarkError(ValueError):
    """A benchmark that cannot be scored; the message names the file and the mend."""


@dataclass(frozen=True)
class Query:
    """A query photo (by its name in the database), cropped to a box (px: left, top, right, bottom) where there is one.

    `positives` answer it; `junk` is dropped from the ranking before scoring. All are names of database photos.
    """

    name: str
    photo: str
    box: tuple[float, float, float, float] | None
    positives: frozenset[str]
    junk: frozenset[str]


@dataclass(frozen=True)
class Benchmark:
    """The database in its own order (names, and where the photos are) and the queries in theirs."""

    name: str
    photos: dict[str, Path]
    queries: list[Query]

    def __post_init__(self) -> None:
        for query in self.queries:
            missing = ({query.photo} | query.positives | query.junk) - self.photos.keys()
            if missing:
                raise BenchmarkError(f"{self.name}: query {query.name} names {min(missing)}, which is not among the photos")

    def positive(self) -> NDArray[np.bool_]:
        """Which database photo answers which query, bool [queries, database]."""
        return self._marked([query.positives for query in self.queries])

    def junk(self) -> NDArray[np.bool_]:
        """Which database photo is dropped for which query, bool [queries, database]."""
        return self._marked([query.junk for query in self.queries])

    def _marked(self, named: list[frozenset[str]]) -> NDArray[np.bool_]:
        place = {name: index for index, name in enumerate(self.photos)}
        marks = np.zeros((len(named), len(place)), dtype=bool)
        for query, names in enumerate(named):
            marks[query, [place[name] for name in names]] = True
        return marks


def photos_in(folder: Path) -> dict[str, Path]:
    """Stem -> path of every .jpg of a folder, sorted by stem. Raises BenchmarkError where there is none."""
    photos = {path.stem: path for path in sorted(folder.glob("*.jpg"))}
    if not photos:
        raise BenchmarkError(f"{folder}: holds no .jpg; put the benchmark's photos there")
    return photos
