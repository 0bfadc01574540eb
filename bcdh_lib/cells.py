"""The cells of the comparison: a method at a code length with a seed, a file each in reports/study/cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcdh_lib.params import run_name
from bcdh_lib.provenance import ProvenanceError, check
from bcdh_lib.study import Study
from bcdh_lib.tables import write_table


class CellError(ValueError):
    """Cells that cannot be read; the message names the file and the mend."""


@dataclass(frozen=True)
class Cell:
    """A method at a code length (None: vectors) with a seed; coder: of shallow.SHALLOW, where one makes its codes."""

    method: str
    bits: int | None
    seed: int
    coder: str | None = None

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.seed}"

    def path(self, study: Study) -> Path:
        return study.reports / "study/cells" / f"{self.name}.parquet"


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


def write_cell(study: Study, cell: Cell, rows: pd.DataFrame, made: dict[str, Any]) -> None:
    """Write a finished cell: its rows of the table `queries`, and what it was made with as the file's metadata."""
    path = cell.path(study)
    write_table(path.parent, cell.name, rows, form="queries", notes={"made_with": json.dumps(made)})


def is_finished(path: Path, made: dict[str, Any]) -> bool:
    """Whether a cell's file is there. Raises ProvenanceError where it was made with anything else than `made`."""
    if not path.is_file():
        return False
    try:
        found = json.loads(pq.read_metadata(path).metadata[b"made_with"])
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise ProvenanceError(f"{path}: is no cell of this study; remove it, and it is made anew") from None
    check(path, found, made)
    return True


def read_cells(study: Study) -> pd.DataFrame:
    """The rows of all finished cells. Raises CellError where there is none or one is unreadable."""
    paths = sorted((study.reports / "study/cells").glob("*.parquet"))
    if not paths:
        raise CellError(f"{study.reports / 'study/cells'}: holds no cell; run: make study")
    try:
        return pd.concat([pq.read_table(path).to_pandas() for path in paths], ignore_index=True).astype({"bits": "Int32"})
    except (pa.ArrowInvalid, ValueError, KeyError) as error:
        raise CellError(f"{paths[0].parent}: a cell is unreadable ({error}); remove it, and run: make study") from None
