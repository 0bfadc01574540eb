"""The cells of the comparison: a method at a code length with a seed, a file each in reports/study/cells (or ablations)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcdh_lib.comparison.provenance import check
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import TABLES, read_parquet, write_table
from bcdh_lib.core.text import one_line
from bcdh_lib.params import run_name
from bcdh_lib.study import Study

RECENTRED = "_recentred"
"""The coder, and the ending of the method's name, of codes whose thresholds are the mean outputs over the database."""


@dataclass(frozen=True)
class Cell:
    """A method at a code length (None: vectors) with a seed; coder: of shallow.SHALLOW, or RECENTRED, where
    one makes its codes.
    """

    method: str
    bits: int | None
    seed: int
    coder: str | None = None
    folder: str = "cells"

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.seed}"

    def path(self, study: Study) -> Path:
        return study.reports / "study" / self.folder / f"{self.name}.parquet"


@dataclass(frozen=True)
class Unit:
    """A cell that is trained, or vectors that no training precedes, and the shallow cells fitted to it: one piece of work."""

    source: Cell
    shallow: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.source, *self.shallow)

    def only(self, methods: Sequence[str]) -> Unit | None:
        """The unit with these methods alone (none: all), and its source where they need it; None where it has none of them."""
        shallow = tuple(cell for cell in self.shallow if not methods or cell.method in methods)
        return Unit(self.source, shallow) if not methods or shallow or self.source.method in methods else None


def write_cell(study: Study, cell: Cell, rows: pd.DataFrame, made: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write a finished cell: its rows of the table `queries`; what it was made with, and facts of it, as the file's metadata."""
    path, notes = cell.path(study), {"made_with": json.dumps(made), "facts": json.dumps(facts)}
    write_table(path.parent, cell.name, rows, form="queries", notes=notes)


def is_finished(path: Path, made: dict[str, Any]) -> bool:
    """Whether a cell's file is there. Raises StudyError where it was made with anything else than `made`."""
    if not path.is_file():
        return False
    try:
        found = json.loads(pq.read_metadata(path).metadata[b"made_with"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError):
        raise StudyError(f"{path}: is no cell of this study; remove it, and it is made anew") from None
    check(path, found, made)
    return True


def read_cells(study: Study, folder: str = "cells") -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The rows of all finished cells, and what was noted of each, with its method, bits and seed.

    Raises StudyError where there is none or one is unreadable.
    """
    paths = sorted((study.reports / "study" / folder).glob("*.parquet"))
    if not paths:
        raise StudyError(f"{study.reports / 'study' / folder}: holds no cell; run: make study")
    tables, noted = [], []
    for path in paths:
        try:
            content = read_parquet(path)
            if not content.schema.remove_metadata().equals(TABLES["queries"].schema):
                raise ValueError("its columns are not those of the table queries")
            rows, facts = content.to_pandas(), json.loads(content.schema.metadata[b"facts"])
            noted.append({key: rows[key].iloc[0] for key in ("method", "bits", "seed")} | facts)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise StudyError(f"{path}: is an unreadable cell ({one_line(error)}); remove it, and run: make study") from None
        tables.append(rows)
    return pd.concat(tables, ignore_index=True).astype({"bits": "Int32"}), noted
