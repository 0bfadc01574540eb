"""What is compared: each system turns photos into codes or real vectors.

A system is a trained run, the pretrained network without training (plain and whitened), or a shallow coder (ITQ, LSH, ...)
fitted to the float baseline's vectors of the training photos.
"""

from dataclasses import dataclass

from bcdh_lib.core.tables import read_table
from bcdh_lib.params import run_name
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import Study

BCDH, FLOAT, WHITENED, PRETRAINED = "binary_constrained", "float", "whitened", "pretrained"


@dataclass(frozen=True)
class System:
    """A method, and the length of its codes in bits; None for real vectors."""

    method: str
    bits: int | None

    @property
    def name(self) -> str:
        """The name of its files."""
        return run_name(self.method, self.bits)


def systems(study: Study) -> list[System]:
    """All systems of a study: the trained runs and the float baseline, shallow codes at the runs' code lengths, and the
    pretrained network.

    Shallow codes need at least as many training photos as bits: longer ones are left out.
    """
    runs = [System(run.method, run.bits) for run in study.params.training.runs]
    runs += [System(FLOAT, None)] * (System(FLOAT, None) not in runs)
    photos = int((read_table(study.pairs, "members")["split"] == "train").sum())
    lengths = sorted({run.bits for run in runs if run.bits and run.bits <= photos})
    shallow = [System(method, bits) for method in SHALLOW for bits in lengths]
    untrained = [WHITENED, PRETRAINED] if study.params.network.whitening is not None else [PRETRAINED]
    return [*runs, *shallow, *(System(method, None) for method in untrained)]
