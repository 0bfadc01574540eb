"""The compared methods once more, each started from the float parent of its seed in the place of the pretrained network.

Shallow codes are fitted to the vectors of the float parent, which has learned from the same pairs, while the trained codes of the
comparison begin at the pretrained network: what a loss adds to such codes is seen where it starts from the same parent. Every
method keeps the configuration that tuning chose for it, its learning rates lowered by training.parent_rate, alike for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bcdh_lib.comparison.cells import Cell
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import NotNegative, Section
from bcdh_lib.params import Params
from bcdh_lib.retrieval.score import FLOAT
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint

FOLDER = "from_parent"


class FromParent(Section):
    """study.yaml's from_parent: which of its seeds."""

    seeds: Annotated[list[NotNegative], Field(min_length=1)]

    def cells(self, methods: Sequence[str], bits: Sequence[int]) -> list[Cell]:
        """A cell a method, code length and seed."""
        return [Cell(method, length, seed, folder=FOLDER) for seed in self.seeds for method in methods for length in bits]


def started_from_parent(params: Params) -> Params:
    """The settings with network.start: parent."""
    return params.model_copy(update={"network": params.network.model_copy(update={"start": "parent"})})


def parent_cell(seed: int) -> Cell:
    """The cell whose network those of a seed start from."""
    return Cell(FLOAT, None, seed)


def network_path(study: Study, cell: Cell) -> Path:
    """Where a cell's network at its best is kept: safetensors, with its .json beside it."""
    return study.root / f"work/study/networks/{cell.name}.safetensors"


def load_parent(study: Study, seed: int) -> HashNetwork:
    """The float parent that the cells of a seed start from. Raises StudyError where its network is not kept any more."""
    parent = parent_cell(seed)
    path = network_path(study, parent)
    if not path.is_file():
        raise StudyError(f"{path}: is not there; remove {parent.path(study)}, and it is trained anew")
    return load_checkpoint(path)[0]
