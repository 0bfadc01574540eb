"""End to end, pixels to bits: blocks and hash layer of a hash network learn on together.

The float baseline and the hash layer were trained one after the other; here the loss on codes reaches the blocks too. Vectors
move with every step, so each batch goes through the blocks that train, and the layer's normalisation is recomputed every round.
"""

import copy

import torch

from bcdh_lib.params import Params
from bcdh_lib.training.batches import draw_places
from bcdh_lib.training.device import device
from bcdh_lib.training.encoding import pool, pool_all
from bcdh_lib.training.float_baseline import make_baseline_loss
from bcdh_lib.training.hash_layer import History, recompute_normalisation, row_of_round, step_on
from bcdh_lib.training.losses import make_loss
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, set_whitening
from bcdh_lib.training.validation import validation_map


def train_end_to_end(
    start: HashNetwork, training_set: TrainingSet, params: Params, method: str, seed: int, history: History
) -> tuple[HashNetwork, History]:
    """A method's hash network with its blocks trained by the same loss, and its history with the rounds of this phase.

    A network without a hash layer, the float baseline, trains on alone by its own loss on the same batches: the control.
    history: that of the training before. The network of the round with the best validation mAP is returned, `start` if no round
    is better than the best before. Raises StudyError if the loss is not finite.
    """
    settings, history = params.training.end_to_end, list(history)
    best, network = start, copy.deepcopy(start).to(device())
    layer, bits = network.hash_layer, network.bits
    loss = make_loss(method, bits, params.losses[method]) if bits else make_baseline_loss(params.training.float_baseline)
    loss.to(device()).advance(1.0)
    trained = [{"params": list(network.late.parameters()), "lr": settings.learning_rate}]
    if layer is not None:
        rate = settings.layer_share * loss.settings.learning_rate * layer.linear.weight.std().item()
        trained.append({"params": list(layer.linear.parameters()), "lr": rate})
    optimiser = torch.optim.AdamW(trained, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.rounds * settings.steps_per_round)
    batches = draw_places(training_set, settings.photos, settings.places, seed)
    train = torch.from_numpy(training_set.train)
    for _ in range(settings.rounds):
        found = []
        for _ in range(settings.steps_per_round):
            batch = next(batches)
            pooled = pool(network.train(), training_set.views[batch.rows, batch.views])
            outputs = pooled if layer is None else network.finish(pooled)
            found.append(step_on(outputs, batch, loss, optimiser, "training.end_to_end.learning_rate"))
            schedule.step()
        with torch.no_grad():
            if layer is None:
                outputs = set_whitening(network, training_set)
            else:
                vectors = network.eval().whiten(pool_all(network, training_set.views))
                recompute_normalisation(layer, vectors[train])
                outputs = layer(vectors).cpu()
            validated = validation_map(training_set.group, training_set.train, outputs, bits)
        if validated > max(row["validation_map"] for row in history):
            best = copy.deepcopy(network).cpu()
        history.append(row_of_round(len(history), found) | {"validation_map": validated})
    return best, history
