"""Pairs + network + loss -> checkpoint: end to end, validated on held-apart models, resumable, on one process or many.

Batches, negatives and weights are functions of the seed and of the round alone, so a run that was killed goes on to the very
weights of an undisturbed one. Under torchrun (WORLD_SIZE > 1) every process computes its share of each batch, and all see the
whole batch's outputs and loss:

    torchrun --nproc_per_node 2 -m bcdh_lib.training.train
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params, TrainingRun
from bcdh_lib.study import Study, open_study
from bcdh_lib.training.batches import Batch, draw_round
from bcdh_lib.training.distributed import gather, process_count, process_rank, wait_for_all
from bcdh_lib.training.losses import PairwiseLoss, loss_of, make_loss
from bcdh_lib.training.network import HashNetwork, load_checkpoint, save_checkpoint, save_start, write_tensors
from bcdh_lib.training.training_set import (
    TrainingSet,
    device,
    load_training_set,
    outputs_of,
    prepare,
    settle,
    start_network,
    validation_map,
)


def batch_loss(values: Tensor, similar: Tensor) -> Tensor:
    """Similar and dissimilar pairs weigh alike, however many there are of each: the mean of the two means."""
    parts = [values[chosen].mean() for chosen in (similar, ~similar) if bool(chosen.any())]
    return torch.stack(parts).mean()


def make_run(
    training_set: TrainingSet, params: Params, run: TrainingRun, parent: HashNetwork | None = None
) -> tuple[HashNetwork, PairwiseLoss]:
    """The network of a run before training, and its loss. parent: the float parent, where network.start asks for it."""
    network = start_network(training_set, params.network, run.bits, params.run.seed, parent).to(device())
    method = loss_of(run.method)
    return network, make_loss(method, run.bits or 0, params.losses[method])


def make_optimiser(params: Params, network: HashNetwork) -> torch.optim.AdamW:
    """AdamW with one rate for the backbone and one for the hash layer; both lower where the float parent has learned before."""
    settings = params.training
    if network.hash_layer is None:
        groups = [{"params": list(network.late.parameters()), "lr": settings.learning_rate}]
    else:
        share = settings.parent_rate if network.settings.start == "parent" else 1.0
        groups = [
            {"params": list(network.late.parameters()), "lr": share * settings.learning_rate},
            {"params": list(network.hash_layer.parameters()), "lr": share * settings.head_learning_rate},
        ]
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def train_round(
    network: HashNetwork,
    projector: nn.Module,
    loss: PairwiseLoss,
    optimiser: torch.optim.Optimizer,
    kept: Tensor,
    batches: list[Batch],
) -> dict[str, float]:
    """One pass over a round's batches; its mean `loss` a pair and mean `quantization` error ||u - sgn u||^2 / L of its outputs.

    Raises StudyError where the loss is not finite.
    """
    network.train()
    losses, quantization = [], []
    for batch in batches:
        if len(batch.rows) % process_count():
            raise StudyError(
                f"a batch of {len(batch.rows)} photos does not divide among {process_count()} processes: change training.tuples"
            )
        share = slice(process_rank(), None, process_count())
        outputs = gather(projector(kept[batch.rows[share], batch.views[share]]))
        outputs = network.normalise(_in_batch_order(outputs))
        target = outputs.device
        value = batch_loss(loss(outputs, batch.pairs.to(target), batch.similar.to(target)), batch.similar.to(target))
        if not torch.isfinite(value):
            raise StudyError(f"the loss became {value.item()}: lower training.learning_rate or training.head_learning_rate")
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
        quantization.append((outputs.detach().abs() - 1).square().mean().item())
    return {"loss": float(np.mean(losses)), "quantization": float(np.mean(quantization))}


def _in_batch_order(outputs: Tensor) -> Tensor:
    """Undo the dealing out of a batch's places to the processes: place i went to process i mod count."""
    count = process_count()
    return outputs.unflatten(0, (count, -1)).transpose(0, 1).flatten(0, 1)


class Projector(nn.Module):
    """The part of the network that learns, as one module for DistributedDataParallel."""

    def __init__(self, network: HashNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, kept: Tensor) -> Tensor:
        return outputs_of(self.network, kept)


def train_run(
    training_set: TrainingSet, params: Params, run: TrainingRun, work: Path, parent: HashNetwork | None = None
) -> list[dict[str, float]]:
    """Train one run inside `work`: after every round its state, and the best network so far, lie there; a killed one goes on.
    What it started from lies there too. parent: the float parent, where network.start asks for it.

    Returns the history, one row a round (round 0: untrained). The best network is the one of the best validation mAP.
    Raises StudyError where the loss is not finite; the last good state and the best network so far stay.
    """
    network, loss = make_run(training_set, params, run, parent)
    optimiser = make_optimiser(params, network)
    wait_for_all()
    history = load_state(work / "state.safetensors", network, optimiser)
    wait_for_all()
    projector: nn.Module = Projector(network)
    if process_count() > 1:
        projector = nn.parallel.DistributedDataParallel(projector)
    outputs = settle(network, training_set)
    rounds = range(len(history), params.training.rounds + 1)
    for round_number in tqdm(rounds, desc=run.name, unit="round", disable=process_rank() > 0):
        row = {"round": round_number, "loss": float("nan"), "quantization": float("nan")}
        if round_number > 0:
            loss.advance((round_number - 1) / max(params.training.rounds - 1, 1))
            batches = draw_round(training_set, outputs, run.bits, params, round_number)
            row |= train_round(network, projector, loss, optimiser, training_set.activations, batches)
            outputs = settle(network, training_set)
        row["validation_map"] = validation_map(training_set, outputs, run.bits)
        history.append(row)
        if process_rank() == 0:
            if round_number == 0:
                save_start(work / "start.safetensors", network)
            if row["validation_map"] > max((earlier["validation_map"] for earlier in history[:-1]), default=-1):
                save_checkpoint(work / "best.safetensors", network, _facts(training_set, params, run) | row)
            save_state(work / "state.safetensors", network, optimiser, history)
    return history


def _facts(training_set: TrainingSet, params: Params, run: TrainingRun) -> dict[str, Any]:
    """What a checkpoint says of itself beside its network."""
    settings = params.model_dump(include={"training", "losses"})
    settings["training"].pop("runs")
    return {"method": run.method, "seed": params.run.seed, "params": settings, "pairs": training_set.fingerprint}


def save_state(path: Path, network: HashNetwork, optimiser: torch.optim.Optimizer, history: list[dict[str, float]]) -> None:
    """Weights, the optimiser's moments and the history, in one file, whole or not at all."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
    write_tensors(path, tensors, {"history": json.dumps(history)})


def load_state(path: Path, network: HashNetwork, optimiser: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Take up what `save_state` left, and return its history; an empty one, and nothing changed, where it left nothing."""
    if not path.is_file():
        return []
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        history = json.loads(file.metadata()["history"])
    network.load_state_dict({name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, moment = name.split(".")
            state.setdefault(int(index), {})[moment] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return history


def write_whitened(training_set: TrainingSet, params: Params, path: Path) -> None:
    """The checkpoint of the pretrained network with the whitening that the pairs teach: the float parent before training."""
    network, _ = make_run(training_set, params, PARENT)
    settle(network, training_set)
    save_checkpoint(path, network, {"method": "whitened"})


PARENT = TrainingRun(method="float", bits=None)


def train_parent(training_set: TrainingSet, params: Params, work: Path) -> HashNetwork:
    """The float parent at its best, which the other runs start from."""
    train_run(training_set, params, PARENT, work / PARENT.name)
    wait_for_all()
    return load_checkpoint(work / PARENT.name / "best.safetensors")[0].to(device())


def train_all(study: Study) -> pd.DataFrame:
    """Train every run of training.runs and publish checkpoints and the table `history`; goes on where a killed one stopped."""
    params = study.params
    prepare(params)
    tables = [study.pairs / "members.parquet", study.pairs / "pairs.parquet", study.photos / "photos.parquet"]
    work = study.unfinished("training", (params.network, params.training, params.losses), tables, "bcdh_lib.training.train")
    training_set = load_training_set(study)
    parent = train_parent(training_set, params, work) if params.network.start == "parent" else None
    histories = [
        pd.DataFrame(train_run(training_set, params, run, work / run.name, parent)).assign(run=run.name)
        for run in params.training.runs
    ]
    history = pd.concat(histories, ignore_index=True)
    if process_rank() == 0:
        for run in params.training.runs:
            for ending in (".safetensors", ".json"):
                write_bytes(study.checkpoint(run.name).with_suffix(ending), (work / run.name / f"best{ending}").read_bytes())
            write_bytes(study.start(run.name), (work / run.name / "start.safetensors").read_bytes())
        if params.network.whitening is not None:
            write_whitened(training_set, params, study.checkpoint("whitened"))
        write_table(study.checkpoints, "history", history)
        write_bytes(study.reports / "history.csv", history.to_csv(index=False, float_format="%.6f").encode())
    return history


def main() -> None:
    """Train as one of torchrun's processes."""
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    try:
        train_all(open_study())
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
