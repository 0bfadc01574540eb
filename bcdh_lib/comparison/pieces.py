"""Pieces of work: each is done once, in any process, and its result is one file, so that a killed study continues after it.

A file's name ends in a digest of everything that decides the result (settings, code, inputs), which its metadata spell out. A
change of any of them makes a piece of another name: results of other settings are never used, and come back with the settings.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import methodcaller
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.tables import read_parquet, write_parquet
from bcdh_lib.study import Study


class Result(NamedTuple):
    """A table, and facts next to it."""

    rows: pd.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """A subclass defines what decides a piece (in JSON's types) and how it is done. inputs: digest of the files that it reads."""

    study: Study
    inputs: str
    kind: ClassVar[str]

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def decided_by(self) -> dict[str, Any]:
        raise NotImplementedError

    def work(self) -> Result:
        raise NotImplementedError

    @cached_property
    def made_with(self) -> str:
        return json.dumps(self.decided_by | {"inputs": self.inputs}, sort_keys=True)

    @property
    def path(self) -> Path:
        digest = hashlib.sha256(self.made_with.encode()).hexdigest()[:16]
        return self.study.work / "study" / self.kind / f"{self.name}-{digest}.parquet"

    def make(self) -> None:
        """Do the piece and write its result atomically; the facts then also hold the `seconds` it took."""
        started = monotonic()
        rows, facts = self.work()
        facts = facts | {"seconds": round(monotonic() - started, 2)}
        write_parquet(self.path, rows, notes={"made_with": self.made_with, "facts": json.dumps(facts)})

    def read(self) -> Result:
        """The result. Raises StudyError if the file is missing, damaged, or was made with anything else."""
        try:
            content = read_parquet(self.path)
            notes = content.schema.metadata or {}
            if notes[b"made_with"].decode() != self.made_with:
                raise ValueError("made with other settings, code or inputs")
            return Result(content.to_pandas(), json.loads(notes[b"facts"]))
        except (ValueError, KeyError, OSError) as error:
            raise StudyError(
                f"{self.path}: is no result of this study ({one_line(error)}); delete it, then: make study"
            ) from None


def do_all(pieces: Sequence[Piece], title: str, processes: int, scheduler: str | None = None) -> None:
    """Do the pieces that have no result yet, in processes or on a Dask scheduler's workers. Raises StudyError."""
    pending, make = [piece for piece in pieces if not piece.path.is_file()], methodcaller("make")
    here = processes == 1 and scheduler is None
    with tqdm(desc=title, unit="piece", total=len(pieces), initial=len(pieces) - len(pending), disable=not pieces) as bar:
        for _ in map(make, pending) if here else side_by_side(make, pending, processes, scheduler):
            bar.update()
