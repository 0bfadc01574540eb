"""The training stage: the float baseline, then a hash layer a run, assembled to networks from pixels to bits.

python -m bcdh_lib.training
torchrun --nproc_per_node 2 -m bcdh_lib.training
"""

import hashlib
import os
from pathlib import Path

import pandas as pd
import torch
import torch.distributed as dist
from tqdm.auto import tqdm

from bcdh_lib.core.files import write_array, write_bytes
from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params, TrainingRun
from bcdh_lib.study import Study, computes
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.device import device, prepare, process_rank, wait_for_all
from bcdh_lib.training.end_to_end import train_end_to_end
from bcdh_lib.training.float_baseline import train_float_baseline
from bcdh_lib.training.hash_layer import History, assemble, train_hash_layer
from bcdh_lib.training.losses import check_losses
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, encode_training_set, load_training_set, set_whitening

FLOAT, WHITENED = "float", "whitened"


def _inputs(study: Study) -> list[Path]:
    return [study.photos / "photos.parquet", study.pairs / "members.parquet", study.pairs / "pairs.parquet"]


@computes("training", inputs=_inputs)
def train_all(study: Study) -> None:
    """Train the float baseline and every run of training.runs; write their checkpoints and the table `history`.

    A killed run continues after the last round of the float baseline, or after the last finished run. The baseline is trained
    even if no run names it: every hash layer starts from it. Raises StudyError.
    """
    params = study.params
    check_losses(params)
    prepare(params)
    work = study.unfinished("training", (params.network, params.training.float_baseline), _inputs(study), __name__)
    training_set = load_training_set(study)
    baseline, history = train_float_baseline(training_set, params, work)
    if process_rank() == 0:  # the runs are short: one process trains them
        _train_runs(study, training_set, baseline, history, work)
    wait_for_all()


def _train_runs(study: Study, training_set: TrainingSet, baseline: HashNetwork, history: History, work: Path) -> None:
    """Train the runs on the baseline, and write everything that the stage gives. Finished runs are kept in the folder `work`."""
    params, settings = study.params, study.params.model_dump(include={"training", "losses"})
    settings["training"].pop("runs")
    pairs = hashlib.sha256((study.pairs / "pairs.parquet").read_bytes()).hexdigest()
    histories: list[pd.DataFrame] = []

    def save(name: str, method: str, network: HashNetwork, history: History) -> None:
        rounds = pd.DataFrame(history).assign(run=name)
        facts = {"method": method, "seed": params.run.seed, "params": settings, "pairs": pairs}
        save_checkpoint(study.checkpoint(name), network, facts | {"validation_map": rounds["validation_map"].max()})
        histories.append(rounds)

    save(FLOAT, FLOAT, baseline, history)
    if params.network.whitening is not None:
        whitened = HashNetwork(params.network, bits=None).to(device())  # pretrained: the float baseline before training
        set_whitening(whitened, training_set)
        save_checkpoint(study.checkpoint(WHITENED), whitened, {"method": WHITENED})
    vectors = encode_training_set(baseline, training_set)
    write_array(study.checkpoints / "vectors.npy", vectors.views)
    for run in tqdm([run for run in params.training.runs if run.bits], desc="hash networks", unit="run"):
        save(run.name, run.method, *_train_run(run, training_set, vectors, baseline, params, work))
    table = pd.concat(histories, ignore_index=True)
    write_table(study.checkpoints, "history", table)
    write_bytes(study.reports / "history.csv", table.to_csv(index=False, float_format="%.6f").encode())


def _train_run(
    run: TrainingRun, training_set: TrainingSet, vectors: TrainingSet, baseline: HashNetwork, params: Params, work: Path
) -> tuple[HashNetwork, History]:
    """A run's hash network and history: trained, or taken from the folder `work` if it was finished before."""
    training, loss = params.training, params.losses[run.method]
    digest = hashlib.sha256(repr((training.hash_layer, training.end_to_end, loss)).encode()).hexdigest()[:16]
    finished = work / f"{run.name}-{digest}.safetensors"
    if finished.with_suffix(".json").is_file():
        network, facts = load_checkpoint(finished)
        return network, facts["history"]
    layer, history = train_hash_layer(vectors, params, run.method, run.bits or 0, params.run.seed)
    network = assemble(baseline, layer)
    if training.end_to_end.rounds:
        network, history = train_end_to_end(network, training_set, params, run.method, params.run.seed, history)
    save_checkpoint(finished, network, {"history": history})
    return network, history


def train_as_one_of_several(study: Study) -> None:
    """The training stage; under torchrun (WORLD_SIZE > 1) as one of its processes."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
    try:
        train_all(study)
    finally:
        if several:
            dist.destroy_process_group()
