"""What training at a given scale costs: one step measured, and hours and memory of the whole run from the steps in its file.

    python performance/step.py docs/paper_scale.yaml [BACKBONE ...] [--tuples N] [--times N]

Writes reports/step.json. Measured are a training step of the file's first run, the encoding of photos, and, on the processor,
the mining of a round's batches and a validation among as many photos as retrieval-SfM-120k holds (--photos, --validation and
--pairs say otherwise); photos, pairs and weights are random. The rest is arithmetic: every run of the file counts as the first.
Not counted: taking the photos in, reading them, ITQ, whitening, the benchmarks. On a GPU the clock is the wall's. Without one,
times are the processor's seconds on one thread, which other work beside it hardly touches; --tuples times a smaller batch,
whose photos then stand for all. Medians are of --times runs. A BACKBONE takes the place of the file's. `published` is no
measurement of ours: photos a second of an RTX 3090 at 224 px in mixed precision, as timm's benchmarks give them for batches of
256 and more, with mining and validation as measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from drawn import draw_batch
from medians import medians
from torch import nn

from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params, load_params
from bcdh_lib.study import find_root, fix_threads
from bcdh_lib.training.batches import draw_round
from bcdh_lib.training.losses import loss_of, make_loss
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.train import Projector, make_optimiser, train_round
from bcdh_lib.training.training_set import BATCH, VALIDATED, TrainingSet, device, encode_kept, prepare, validation_map

PHOTOS, VALIDATION, PAIRS, GROUPS = 98_045, 6_403, 181_697, 700
"""retrieval-SfM-120k: photos, those of them for validation, similar pairs to train on; 3D models, about."""
PUBLISHED = {"resnet101": (747.89, 2258.28), "vgg16": (546.06, 1717.44)}
"""Photos a second trained and encoded, at 224 px, from the folder results/ of huggingface/pytorch-image-models:
benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv and benchmark-infer-amp-nhwc-pt113-cu117-rtx3090.csv."""
ASKED, STEPS = 16, 2
"""Validation queries and batches that are timed."""
GB = 1e9


def hours(params: Params, photos: int, step_s: float, encode_s: float, mine_s: float, validate_s: float) -> dict[str, float]:
    """Hours of one run and of all, from seconds of a step, of encoding a photo, of mining a round and of a validation.

    A run encodes and validates before its first round and after every one; two starts are validated where the better is taken.
    """
    settings = params.training
    look = photos * encode_s + validate_s
    starts = 2 * validate_s if params.network.start == "best" else 0
    run = starts + look + settings.rounds * (mine_s + settings.steps_per_round * step_s + look)
    return {"run_h": round(run / 3600, 2), "all_runs_h": round((len(settings.runs) * run + photos * encode_s) / 3600, 1)}


def memory_of(params: Params, network: HashNetwork, photos: int) -> float:
    """GB of what training keeps of the photos and their views."""
    return photos * (1 + params.training.views) * kept_of(network, 1).nbytes / GB


def kept_of(network: HashNetwork, n: int) -> torch.Tensor:
    """What training keeps of n random photos, one view each, [n, 1, ...]."""
    side = network.settings.side
    views = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return (views if network.trains_whole else network.activations(views).cpu())[:, None]


def make_network(params: Params) -> HashNetwork:
    """The network of the file's first run with random weights, tame ones: untrained, their outputs would outgrow a float16."""
    network = HashNetwork(params.network, params.training.runs[0].bits, pretrained=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.1)
    return network.to(device())


def measure_network(params: Params, tuples: int, times: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Seconds of a training step of the whole batch, milliseconds of encoding a photo, GB that the GPU held at most."""
    first, network = params.training.runs[0], make_network(params)
    small = params.model_copy(update={"training": params.training.model_copy(update={"tuples": tuples})})
    batch, shown = draw_batch(small), max(1, BATCH // 4) if device().type == "cpu" else BATCH
    loss = make_loss(loss_of(first.method), first.bits or 0, params.losses[loss_of(first.method)])
    kept = kept_of(network, max(len(batch.rows), shown))
    training = (network, Projector(network), loss, make_optimiser(params, network), kept, [batch])
    step = medians({"step": partial(train_round, *training)}, times, clock)["step"]
    network.eval()
    encode = medians({"encode": partial(encode_kept, network, kept[:shown])}, times, clock)["encode"] / shown
    held = {"gpu_gb": round(torch.cuda.max_memory_allocated() / GB, 1)} if device().type == "cuda" else {}
    return {"step_s": round(step * params.training.tuples / tuples, 3), "encode_ms": round(1e3 * encode, 2), **held}


def stand_in(photos: int, pairs: int, bits: int) -> tuple[TrainingSet, torch.Tensor]:
    """A training set of as many photos, ASKED of them for validation, and random outputs [photos, bits]; no pixel is kept."""
    generator = np.random.default_rng(0)
    train = np.arange(photos) >= ASKED
    return TrainingSet(
        activations=torch.empty(photos, 0),
        group=generator.integers(0, GROUPS, photos),
        train=train,
        pairs=generator.integers(ASKED, photos, (pairs, 2)),
        vectors=np.empty((photos, 0)),
    ), torch.randn(photos, bits, generator=torch.Generator().manual_seed(0))


def measure_round(
    params: Params, photos: int, validation: int, pairs: int, times: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds of mining a round's batches and of a validation on the processor, and the GB that a validation takes."""
    bits = params.training.runs[0].bits or 64
    training_set, outputs = stand_in(photos, pairs, bits)
    few = params.model_copy(update={"training": params.training.model_copy(update={"steps_per_round": STEPS})})
    contestants = {
        "mine": partial(draw_round, training_set, outputs, bits, few, 1),
        "validate": partial(validation_map, training_set, outputs, bits),
    }
    taken = medians(contestants, times, clock)
    tracemalloc.start()
    contestants["validate"]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "mine_s": round(taken["mine"] * params.training.steps_per_round / STEPS, 1),
        "validate_s": round(taken["validate"] * validation / ASKED, 1),
        "validate_gb": round(peak * min(validation, VALIDATED) / ASKED / GB, 1),
    }


def measure(
    params: Params, backbones: list[str], *, tuples: int, photos: int, validation: int, pairs: int, times: int
) -> dict[str, Any]:
    """All figures of the settings, one row a backbone."""
    prepare(params)
    on_gpu = device().type == "cuda"
    clock = perf_counter if on_gpu else process_time
    if not on_gpu:
        torch.set_num_threads(1)
    settings, load = params.training, round(os.getloadavg()[0], 1)
    a_round = measure_round(params, photos, validation, pairs, times, clock)
    processor = {"mine_s": a_round["mine_s"], "validate_s": a_round["validate_s"]}
    batch = settings.tuples * (2 + settings.negatives)

    def row(backbone: str, figures: dict[str, Any]) -> dict[str, Any]:
        cost = hours(params, photos, figures["step_s"], figures["encode_ms"] / 1e3, **processor)
        return {"backbone": backbone, **figures, **cost}

    measured = []
    for backbone in backbones:
        network = params.network.model_copy(update={"backbone": backbone})
        figures = measure_network(params.model_copy(update={"network": network}), tuples, times, clock)
        measured.append(row(backbone, figures))
    published = [
        row(backbone, {"step_s": round(batch / trained, 3), "encode_ms": round(1e3 / encoded, 2)})
        for backbone, (trained, encoded) in PUBLISHED.items()
        if params.network.side == 224
    ]
    return {
        "device": torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} processor",
        "threads": torch.get_num_threads(),
        "load": load,
        **{"photos": photos, "validation": validation, "side": params.network.side, "views": settings.views},
        **{"runs": len(settings.runs), "rounds": settings.rounds, "steps_per_round": settings.steps_per_round},
        **{"photos_a_step": batch, "photos_timed": tuples * (2 + settings.negatives), "times": times},
        "kept_gb": round(memory_of(params, make_network(params), photos), 1),
        **a_round,
        "measured": measured,
        "published": published,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What training at a given scale costs.")
    parser.add_argument("params", type=Path)
    parser.add_argument("backbones", nargs="*")
    parser.add_argument("--tuples", type=int)
    for name, value in {"photos": PHOTOS, "validation": VALIDATION, "pairs": PAIRS, "times": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args())
    params = load_params(options.pop("params"))
    if not torch.cuda.is_available():
        fix_threads(1)
    options["backbones"] = options["backbones"] or [params.network.backbone]
    options["tuples"] = options["tuples"] or params.training.tuples
    figures = measure(params, **options)
    write_json(find_root() / "reports/step.json", figures)
    print(json.dumps(figures, indent=2))
