"""The float baseline: the network without a hash layer, trained end to end on mined tuples, resumable, on one process or many.

Batches, negatives and weights are functions of the seed and of the round alone, so a run that was killed continues to the very
weights of an undisturbed one. Under torchrun every process computes its share of each batch, and all see the whole batch's
vectors and loss.
"""

import copy
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import BaselineTraining, Params
from bcdh_lib.training.batches import Batch, draw_tuples
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.device import device, process_count, process_rank, wait_for_all
from bcdh_lib.training.encoding import pool
from bcdh_lib.training.hash_layer import History
from bcdh_lib.training.losses import PairwiseLoss, make_loss
from bcdh_lib.training.losses.pairwise import descend
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, set_whitening
from bcdh_lib.training.validation import validation_map


class Pooling(nn.Module):
    """The part of the network that learns, as one module for DistributedDataParallel."""

    def __init__(self, network: HashNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, activations: Tensor) -> Tensor:
        return pool(self.network, activations)


def train_float_baseline(training_set: TrainingSet, params: Params, work: Path) -> tuple[HashNetwork, History]:
    """The float baseline of the best validation mAP, and the history, one row a round (round 0: pretrained and whitened).

    What is validated and kept are the blocks after `averaged`. After every round the state and the best network so far are in
    the folder `work`; a killed run continues from there.
    Raises StudyError if the loss is not finite; the last good state and the best network so far stay.
    """
    settings, seed = params.training.float_baseline, params.run.seed
    torch.manual_seed(seed)
    network = HashNetwork(params.network, bits=None).to(device()).eval()
    pretrained = copy.deepcopy(network.late.state_dict())
    loss, blocks = make_baseline_loss(settings), network.late.parameters()  # those that are not frozen
    optimiser = torch.optim.AdamW(blocks, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    wait_for_all()
    history = load_state(work / "state.pt", network, optimiser)
    wait_for_all()
    pooling: nn.Module = Pooling(network)
    if process_count() > 1:
        pooling = nn.parallel.DistributedDataParallel(pooling)
    kept = averaged(network, pretrained, settings.trained_share)
    vectors = set_whitening(kept, training_set)
    rounds = range(len(history), settings.rounds + 1)
    for round_number in tqdm(rounds, desc="float baseline", unit="round", disable=process_rank() > 0):
        row: dict[str, Any] = {"round": round_number, "loss": float("nan"), "quantization": float("nan")}
        if round_number > 0:
            batches = draw_tuples(training_set, vectors, settings, seed, round_number)
            row["loss"] = train_round(pooling, loss, optimiser, training_set.views, batches)
            kept = averaged(network, pretrained, settings.trained_share)
            vectors = set_whitening(kept, training_set)
        row["validation_map"] = validation_map(training_set.group, training_set.train, vectors, None)
        history.append(row)
        if process_rank() == 0:
            if row["validation_map"] > max((earlier["validation_map"] for earlier in history[:-1]), default=-1):
                save_checkpoint(work / "best.safetensors", kept, row)
            save_state(work / "state.pt", network, optimiser, history)
    wait_for_all()
    return load_checkpoint(work / "best.safetensors")[0].to(device()), history


def averaged(network: HashNetwork, pretrained: Mapping[str, Tensor], share: float) -> HashNetwork:
    """A copy whose blocks are `share` the network's and for the rest the pretrained ones; 1: the network itself.

    Training forgets some of what the pretrained blocks know of other photos; an average forgets less and keeps most of what was
    learned (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
    """
    if share == 1:
        return network
    made = copy.deepcopy(network)
    blocks = {
        name: torch.lerp(pretrained[name], trained, share) if trained.is_floating_point() else trained
        for name, trained in network.late.state_dict().items()
    }
    made.late.load_state_dict(blocks)
    return made


def make_baseline_loss(settings: BaselineTraining) -> PairwiseLoss:
    """The contrastive loss on the vectors."""
    return make_loss("contrastive", 0, {"learning_rate": settings.learning_rate, "margin": settings.margin})


def train_round(
    pooling: nn.Module, loss: PairwiseLoss, optimiser: torch.optim.Optimizer, activations: Tensor, batches: list[Batch]
) -> float:
    """One pass over a round's batches; the mean loss. Raises StudyError if it is not finite."""
    losses, count = [], process_count()
    for batch in batches:
        if len(batch.rows) % count:
            raise StudyError(
                f"a batch of {len(batch.rows)} photos does not divide among {count} processes: "
                "change training.float_baseline.tuples"
            )
        share = slice(process_rank(), None, count)  # place i of a batch is for process i mod count
        vectors = pooling(activations[batch.rows[share], batch.views[share]])
        if count > 1:
            # Every process computes the loss of all vectors, so their gradients add up to `count` times that of one process:
            # DistributedDataParallel's mean over the processes makes it right.
            vectors = torch.stack(all_gather(vectors.contiguous()), 1).flatten(0, 1)  # in the order of the batch
        value = loss.of_batch(vectors, batch.similar.to(vectors.device), batch.dissimilar.to(vectors.device))
        losses.append(descend(value, optimiser, "training.float_baseline.learning_rate"))
    return float(np.mean(losses))


def save_state(path: Path, network: HashNetwork, optimiser: torch.optim.Optimizer, history: History) -> None:
    """Write weights, the optimiser's moments and the history in one file, atomically."""
    buffer = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict(), "history": history}, buffer)
    write_bytes(path, buffer.getvalue())


def load_state(path: Path, network: HashNetwork, optimiser: torch.optim.Optimizer) -> History:
    """Restore what `save_state` wrote, and return its history; an empty one, and nothing changed, if there is no file."""
    if not path.is_file():
        return []
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return state["history"]
