"""Why codes retrieve as they do: how the bits behave on the photos that the network learned from, and what still moves them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bcdh_lib.core.codes import distances, pack
from bcdh_lib.params import Params
from bcdh_lib.training.batches import draw_round
from bcdh_lib.training.losses import PairwiseLoss
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.train import batch_loss
from bcdh_lib.training.training_set import TrainingSet, encode_kept, outputs_of

FROZEN = 0.01
"""A bit that fewer than this share of the photos differ in says next to nothing."""


def bit_statistics(outputs: NDArray[np.float32], group: NDArray[np.int64]) -> dict[str, float]:
    """Statistics of outputs [n, L] and their signs; photos of one group [n] are similar, of two dissimilar.

    frozen_bits: share of the bits that all but FROZEN of the photos agree in; imbalance: mean |mean of a bit| (0: half of the
    photos each); correlation: mean |correlation| of two bits that are not frozen; quantization: mean (|u| - 1)^2;
    similar_distance, dissimilar_distance: mean Hamming distance as a share of L; inside_margin: share of dissimilar pairs nearer
    than L / 2. NaN where there is no such pair or bit.
    """
    signs = np.where(outputs >= 0, 1.0, -1.0)
    mean = signs.mean(0)
    moving = np.minimum(1 + mean, 1 - mean) / 2 >= FROZEN
    first, second = np.triu_indices(len(outputs), 1)
    found = (distances(pack(outputs), pack(outputs)) / outputs.shape[1])[first, second]
    same = group[first] == group[second]
    return {
        "frozen_bits": float(1 - moving.mean()),
        "imbalance": float(np.abs(mean).mean()),
        "correlation": _mean_correlation(signs[:, moving]),
        "quantization": float(np.square(np.abs(outputs) - 1).mean()),
        "similar_distance": _mean(found[same]),
        "dissimilar_distance": _mean(found[~same]),
        "inside_margin": _mean(found[~same] < 0.5),
    }


def _mean(values: NDArray[np.floating] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _mean_correlation(signs: NDArray[np.float64]) -> float:
    if signs.shape[1] < 2:
        return float("nan")
    correlation = np.asarray(np.corrcoef(signs, rowvar=False))
    return _mean(np.abs(correlation[np.triu_indices(len(correlation), 1)]))


def gradient_statistics(network: HashNetwork, loss: PairwiseLoss, training_set: TrainingSet, params: Params) -> dict[str, float]:
    """What the loss would still change in a network, over the first batch of the last round's tuples, mined with its own codes.

    gradient_backbone, gradient_hash: norms of the gradients of the trained blocks and of the hash layer. The network is left
    as it was.
    """
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    outputs = encode_kept(network, training_set.activations)
    batch = draw_round(training_set, outputs, network.bits, params, params.training.rounds)[0]
    network.train()
    made = network.normalise(outputs_of(network, training_set.activations[batch.rows, batch.views]))
    similar = batch.similar.to(made.device)
    batch_loss(loss(made, batch.pairs.to(made.device), similar), similar).backward()
    layer = [] if network.hash_layer is None else list(network.hash_layer.parameters())
    norms = {"gradient_backbone": _norm(list(network.late.parameters())), "gradient_hash": _norm(layer)}
    network.zero_grad(set_to_none=True)
    network.load_state_dict(state)
    network.eval()
    return norms


def _norm(parameters: list[torch.nn.Parameter]) -> float:
    squares = [float(each.grad.square().sum()) for each in parameters if each.grad is not None]
    return float(np.sqrt(sum(squares)))
