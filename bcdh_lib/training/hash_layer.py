"""The hash layer: started from ITQ, trained on cached vectors of the float baseline with all pairs of large batches.

A layer on cached vectors takes seconds, so batches can hold hundreds of photos of many places, and hard pairs are in every batch.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bcdh_lib.params import Params
from bcdh_lib.training.batches import Batch, draw_places
from bcdh_lib.training.device import device
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.losses import make_loss
from bcdh_lib.training.losses.pairwise import PairwiseLoss, descend
from bcdh_lib.training.network import HashLayer, HashNetwork
from bcdh_lib.training.training_set import TrainingSet
from bcdh_lib.training.validation import validation_map

History = list[dict[str, Any]]
"""One row a round: round (0: before training), loss, quantization, validation_map."""


def start_layer(vectors: TrainingSet, bits: int, seed: int) -> HashLayer:
    """The layer before training: ITQ of the training photos' vectors, the same for every method."""
    train = vectors.vectors[vectors.train]
    layer = HashLayer(train.shape[1], bits)
    layer.linear.load_state_dict({"weight": torch.from_numpy(itq_projection(train, bits, seed))})
    recompute_normalisation(layer, torch.from_numpy(train))
    return layer.eval()


def recompute_normalisation(layer: HashLayer, vectors: Tensor) -> None:
    """Set the normalisation to the statistics of these vectors' outputs: a running mean would describe the last batches."""
    with torch.no_grad():
        outputs = layer.linear(vectors)
    layer.normalise_by(outputs.mean(0), outputs.var(0))


def train_hash_layer(vectors: TrainingSet, params: Params, method: str, bits: int, seed: int) -> tuple[HashLayer, History]:
    """A method's hash layer at a code length, ready to encode, and its history.

    The layer of the round with the best validation mAP is returned; the start (round 0) is one of them, so it is never worse
    there. Raises StudyError if the loss is not finite.
    """
    best = start_layer(vectors, bits, seed)
    history = [row_of_round(0, []) | {"validation_map": _validate(best, vectors)}]
    layer, loss = copy.deepcopy(best).to(device()), make_loss(method, bits, params.losses[method]).to(device())
    settings, views = params.training.hash_layer, torch.from_numpy(vectors.views).to(device())
    batches = draw_places(vectors, settings.photos, settings.places, seed)
    rate = loss.settings.learning_rate * layer.linear.weight.std().item()
    optimiser, steps = torch.optim.Adam(layer.linear.parameters(), lr=rate), settings.rounds * settings.steps_per_round
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for round_number in range(1, settings.rounds + 1):
        found = []
        for step in range(settings.steps_per_round):
            loss.advance(((round_number - 1) * settings.steps_per_round + step) / max(steps - 1, 1))
            batch = next(batches)
            outputs = layer.train()(views[batch.rows, batch.views])
            found.append(step_on(outputs, batch, loss, optimiser, f"losses.{method}.learning_rate"))
            schedule.step()
        recompute_normalisation(layer.eval(), views[torch.from_numpy(vectors.train), 0])
        trained = copy.deepcopy(layer).cpu()
        validated = _validate(trained, vectors)
        if validated > max(row["validation_map"] for row in history):
            best = trained
        history.append(row_of_round(round_number, found) | {"validation_map": validated})
    return best, history


def step_on(
    outputs: Tensor, batch: Batch, loss: PairwiseLoss, optimiser: torch.optim.Optimizer, setting: str
) -> tuple[float, float]:
    """`descend` on the outputs [n, L] of a batch: its loss, and its mean quantization error before the step."""
    value = loss.of_batch(outputs, batch.similar.to(outputs.device), batch.dissimilar.to(outputs.device))
    return descend(value, optimiser, setting), (outputs.detach().abs() - 1).square().mean().item()


def row_of_round(number: int, steps: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The row of the history for a round, from what its steps returned (NaN if there were none); without validation."""
    loss, quantization = np.mean(steps, axis=0).tolist() if steps else (np.nan, np.nan)
    return {"round": number, "loss": loss, "quantization": quantization}


def _validate(layer: HashLayer, vectors: TrainingSet) -> float:
    """The validation mAP of the layer's codes."""
    with torch.no_grad():
        outputs = layer(torch.from_numpy(vectors.vectors))
    return validation_map(vectors.group, vectors.train, outputs, outputs.shape[1])


def assemble(baseline: HashNetwork, layer: HashLayer) -> HashNetwork:
    """The hash network, pixels to bits: the float baseline's blocks and whitening, and a hash layer."""
    network = HashNetwork(baseline.settings, layer.linear.out_features, pretrained=False)
    network.load_state_dict(baseline.state_dict() | {f"hash_layer.{name}": tensor for name, tensor in layer.state_dict().items()})
    return network.eval()
