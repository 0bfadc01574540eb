"""The default network of the package, made from a study. Run in the study's folder:

python -m bcdh_lib.search.default_network                                  from data/checkpoints of `make repro`
python -m bcdh_lib.search.default_network BASELINE VECTORS [LOSS]          from the study over seeds (work/study):
    training/float-SEED-*/best.safetensors vectors/float-SEED-*.npz, and settings of the loss as in
    reports/default_network_loss.json
"""

import sys
from pathlib import Path

import numpy as np

from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import read_json
from bcdh_lib.params import Params
from bcdh_lib.search.default_network.files import METHOD, pack_network
from bcdh_lib.study import open_study
from bcdh_lib.training.training_set import TrainingSet, read_vectors


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    if len(arguments) not in (0, 2, 3) or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: print(_pack(*map(Path, arguments))), "stopped; start again")


def _pack(baseline: Path | None = None, vectors: Path | None = None, loss: Path | None = None) -> str:
    study = open_study()
    params = study.params
    if loss:
        settings = params.model_dump()
        try:
            settings["losses"][METHOD] |= read_json(loss)[METHOD]["configuration"]
        except (KeyError, TypeError):
            raise StudyError(f"{loss}: has no {METHOD}.configuration; see reports/default_network_loss.json") from None
        params = Params.model_validate(settings)
    folder = pack_network(baseline or study.checkpoint("float"), _read(vectors) if vectors else read_vectors(study), params)
    return f"{folder}: {sum(file.stat().st_size for file in folder.glob('*.safetensors')) / 1e6:.1f} MB"


def _read(path: Path) -> TrainingSet:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return TrainingSet.of_arrays(arrays)
    except (OSError, KeyError, ValueError) as error:
        raise StudyError(f"{path}: holds no vectors of a study ({one_line(error)})") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
