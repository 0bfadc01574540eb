"""What our loss costs: its forms beside coordinate descent over the codes, and the whole training step beside a plain loss's.

    python performance/losses.py

Writes reports/losses.json, in minutes, on one thread. Times are medians of runs side by side in one process, the contestants
taking turns; only the plain descent, which is slow, runs but once that counts. A busy machine slows all of them, so that the
ratios say more than the milliseconds; `load` is the number of processes that wanted the processor when the measurement began.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch
from drawn import draw_batch
from medians import medians
from torch import Tensor
from tqdm import tqdm

from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params
from bcdh_lib.study import open_study
from bcdh_lib.training.losses import PairwiseLoss, make_loss
from bcdh_lib.training.losses.binary_constrained import BinaryConstrained
from bcdh_lib.training.losses.code_step import DistanceLoss, code_step
from bcdh_lib.training.losses.pairwise import ends, quantization_error, sgn
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.train import Projector, make_optimiser, train_round

PAIRS, LENGTHS, FORMS = 4096, (16, 32, 64, 128, 256), ("exact", "smooth", "expected")


def energies(u: Tensor, v: Tensor, a: Tensor, b: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float) -> Tensor:
    """l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2), [p]."""
    distance = (a != b).sum(1).to(u.dtype)
    return distance_loss(distance, similar) + weight / 2 * quantization_error(u, v, a, b)


def descend_plainly(u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float) -> tuple[Tensor, Tensor]:
    """Bitwise coordinate descent from the signs: each bit of both codes flips where the pair's energy falls, till none does.

    The energy is computed anew for every flip, of all pairs at once.
    """
    a, b = sgn(u), sgn(v)
    least, flipped = energies(u, v, a, b, similar, distance_loss, weight), True
    while flipped:
        flipped = False
        for code in (a, b):
            for bit in range(u.shape[1]):
                code[:, bit] *= -1
                energy = energies(u, v, a, b, similar, distance_loss, weight)
                better = energy < least - 1e-5
                code[:, bit] *= torch.where(better, 1, -1)
                least, flipped = torch.where(better, energy, least), flipped or bool(better.any())
    return a, b


def descend(u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float) -> tuple[Tensor, Tensor]:
    """The same descent as well as it can be done: only what a flip changes is computed, from a running distance."""
    outputs = torch.cat([u, v], 1).T.contiguous()
    codes, bits = sgn(outputs), u.shape[1]
    distance, flipped = (codes[:bits] != codes[bits:]).sum(0).to(u.dtype), True
    while flipped:
        flipped = False
        for bit, output in enumerate(outputs):
            farther = codes[bit] * codes[(bit + bits) % (2 * bits)]
            change = distance_loss(distance + farther, similar) - distance_loss(distance, similar)
            better = change + 2 * weight * output * codes[bit] < -1e-5
            distance = torch.where(better, distance + farther, distance)
            codes[bit] *= torch.where(better, -1, 1)
            flipped = flipped or bool(better.any())
    return codes[:bits].T, codes[bits:].T


def milliseconds(contestants: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median milliseconds of each."""
    return {name: round(1e3 * seconds, 2) for name, seconds in medians(contestants, runs).items()}


def draw_pairs(bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs as after the batch normalisation, [2 PAIRS, L], pairs of them, and as many similar as dissimilar labels."""
    outputs = torch.randn(2 * PAIRS, bits, generator=torch.Generator().manual_seed(bits))
    return outputs, torch.arange(2 * PAIRS).reshape(2, PAIRS).T, torch.arange(PAIRS) % 2 == 0


def ours(params: Params, bits: int, form: str) -> BinaryConstrained:
    """Our loss with the study's settings, in one of its forms."""
    return BinaryConstrained(
        bits, BinaryConstrained.Settings.model_validate(params.losses["binary_constrained"] | {"form": form})
    )


def step(loss: PairwiseLoss, outputs: Tensor, pairs: Tensor, similar: Tensor) -> None:
    """The loss of the pairs and its gradient in the outputs."""
    loss(outputs.detach().requires_grad_(), pairs, similar).sum().backward()


def compare_steps(params: Params, bits: int) -> dict[str, Any]:
    """One row: times of the forms' steps, of the code step and of both descents, and how far the descent ends above it."""
    losses = {form: ours(params, bits, form) for form in FORMS}
    distance_loss, weight = losses["exact"].distance_loss, losses["exact"].settings.quantization_weight
    outputs, pairs, similar = draw_pairs(bits)
    u, v = ends(outputs, pairs)
    case = (u, v, similar, distance_loss, weight)
    contestants: dict[str, Callable[[], Any]] = {
        form: partial(step, loss, outputs, pairs, similar) for form, loss in losses.items()
    }
    contestants |= {"code_step": partial(code_step, *case), "descent": partial(descend, *case)}
    taken = milliseconds(contestants, 5) | milliseconds({"plain_descent": partial(descend_plainly, *case)}, 1)
    least, found = (energies(u, v, *codes(*case), similar, distance_loss, weight) for codes in (code_step, descend))
    return {
        "bits": bits,
        **{f"{name}_ms": time for name, time in taken.items()},
        "descent_ratio": round(taken["descent"] / taken["code_step"], 1),
        "plain_descent_ratio": round(taken["plain_descent"] / taken["code_step"], 1),
        "descent_better": int((found < least - 1e-3).sum()),
        "descent_worse": round(float((found > least + 1e-3).float().mean()), 3),
        "descent_excess": round(float((found - least).mean()), 3),
    }


def compare_training(params: Params, bits: int = 64, runs: int = 15) -> dict[str, float]:
    """Median milliseconds of a training step with each form and with the contrastive loss, on random activations, and ratios."""
    batch, contestants = draw_batch(params), dict[str, Callable[[], Any]]()
    losses: dict[str, PairwiseLoss] = {form: ours(params, bits, form) for form in FORMS}
    losses["contrastive"] = make_loss("contrastive", bits, params.losses["contrastive"])
    for name, loss in losses.items():
        network = HashNetwork(params.network, bits)
        kept = torch.rand(len(batch.rows), 1, *activation_shape(network), generator=torch.Generator().manual_seed(0))
        optimiser = make_optimiser(params, network)
        contestants[name] = partial(train_round, network, Projector(network), loss, optimiser, kept, [batch])
    taken = milliseconds(contestants, runs)
    ratios = {f"{form}_ratio": round(taken[form] / taken["contrastive"], 3) for form in FORMS}
    return {"bits": bits, "pairs": len(batch.pairs), **{f"{name}_ms": time for name, time in taken.items()}, **ratios}


def activation_shape(network: HashNetwork) -> torch.Size:
    """Of what the frozen blocks make of one view, [channels, height, width]."""
    side = network.settings.side
    with torch.inference_mode():
        return network.activations(torch.zeros(1, 3, side, side, dtype=torch.uint8)).shape[1:]


if __name__ == "__main__":
    torch.set_num_threads(1)
    study = open_study()
    load = round(os.getloadavg()[0], 1)
    steps = [compare_steps(study.params, bits) for bits in tqdm(LENGTHS, desc="steps", unit="length")]
    training = compare_training(study.params)
    write_json(study.reports / "losses.json", {"threads": 1, "load": load, "pairs": PAIRS, "steps": steps, "training": training})
    print(f"{PAIRS} pairs, load {load}")
    print(pd.DataFrame(steps).set_index("bits").T.to_string())
    print("a training step")
    print(pd.Series(training).to_string())
