"""What our loss costs: the exact code step of a batch against coordinate descent, and a step of the hash layer by method.

    python performance/losses.py

Writes reports/losses.json. On one thread; a batch is that of training.hash_layer, its outputs random. Coordinate descent over
the codes is what is used if no exact step is known: it flips one bit of either code at a time while the energy falls.
"""

import os
from functools import partial
from time import process_time
from typing import Any

import pandas as pd
import torch
from medians import medians
from torch import Tensor

from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params
from bcdh_lib.study import open_study
from bcdh_lib.training.losses import PairwiseLoss, make_loss
from bcdh_lib.training.losses.code_step import cheapest_flips
from bcdh_lib.training.losses.pairwise import sgn

LENGTHS = (16, 32, 64, 128)
METHODS = ("binary_constrained", "dsh", "greedyhash")
PAIRS = 4096


def descend(u: Tensor, v: Tensor, similar: Tensor, costs: Tensor, weight: float) -> Tensor:
    """The energies that coordinate descent ends at, [p], without the quantization error of the signs; all pairs at once."""
    label, bits, outputs = similar.long(), u.shape[1], torch.cat([u, v], 1).T
    codes, distance = sgn(outputs), (sgn(u) != sgn(v)).sum(1)
    flipped = True
    while flipped:
        flipped = False
        for place, (code, output) in enumerate(zip(codes, outputs, strict=True)):
            change = torch.where(code == codes[(place + bits) % (2 * bits)], 1, -1)
            gain = costs[label, distance] - costs[label, (distance + change).clamp(0, bits)] - 2 * weight * code * output
            better = gain > 1e-6
            distance = torch.where(better, distance + change, distance)
            codes[place] *= torch.where(better, -1, 1)
            flipped = flipped or bool(better.any())
    error = (outputs - codes).square().sum(0) - (outputs - sgn(outputs)).square().sum(0)
    return costs[label, distance] + weight / 2 * error


def compare_code_steps(params: Params, bits: int) -> dict[str, Any]:
    """One row: milliseconds of the exact step and of descent for PAIRS pairs, and how far descent ends above the minimum."""
    loss = make_loss("binary_constrained", bits, params.losses["binary_constrained"])
    u, v = torch.randn(2, PAIRS, bits, generator=torch.Generator().manual_seed(bits))
    case = (u, v, torch.arange(PAIRS) % 2 == 0, loss.costs, loss.settings.quantization_weight)
    taken = medians({"exact": partial(cheapest_flips, *case), "descent": partial(descend, *case)}, 5, process_time)
    least, found = cheapest_flips(*case)[1], descend(*case)
    return {
        "bits": bits,
        "exact_ms": round(1e3 * taken["exact"], 1),
        "descent_ratio": round(taken["descent"] / taken["exact"], 1),
        "descent_worse": round(float((found > least + 1e-3).float().mean()), 3),
        "descent_excess": round(float((found - least).mean()), 3),
    }


def step(loss: PairwiseLoss, outputs: Tensor, similar: Tensor, dissimilar: Tensor) -> None:
    """The loss of a batch and its gradient in the outputs."""
    loss.of_batch(outputs.detach().requires_grad_(), similar, dissimilar).backward()


def compare_methods(params: Params, bits: int) -> dict[str, float]:
    """Milliseconds of a batch's loss and gradient by method."""
    settings = params.training.hash_layer
    place = torch.arange(settings.photos) * settings.places // settings.photos
    similar = place[:, None] == place
    outputs = torch.randn(settings.photos, bits, generator=torch.Generator().manual_seed(bits))
    steps = {
        method: partial(step, make_loss(method, bits, params.losses[method]), outputs, similar, ~similar) for method in METHODS
    }
    return {f"{method}_ms": round(1e3 * seconds, 1) for method, seconds in medians(steps, 5, process_time).items()}


if __name__ == "__main__":
    params = open_study().params
    torch.set_num_threads(1)
    load = round(os.getloadavg()[0], 1)
    rows = [compare_code_steps(params, bits) | compare_methods(params, bits) for bits in LENGTHS]
    write_json(open_study().reports / "losses.json", {"load": load, "pairs": PAIRS, "rows": rows})
    print(f"{PAIRS} pairs; a batch of {params.training.hash_layer.photos} photos; load {load}")
    print(pd.DataFrame(rows).set_index("bits").T.to_string())
