"""What training end to end costs by backbone: seconds of a step of the float baseline, milliseconds of encoding a photo.

    python performance/step.py [BACKBONE ...] [--side PX] [--times N]

Writes reports/step.json. Photos and weights are random. On a GPU the clock is the wall's. Without one, times are the processor's
seconds on one thread, which other work on the machine hardly changes. Medians of --times runs.
"""

import argparse
import json
import platform
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from medians import medians
from torch import nn

from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params
from bcdh_lib.study import open_study
from bcdh_lib.training.batches import Batch
from bcdh_lib.training.device import device
from bcdh_lib.training.encoding import BATCH, encode
from bcdh_lib.training.float_baseline import Pooling, make_baseline_loss, train_round
from bcdh_lib.training.network import HashNetwork


def draw_batch(params: Params) -> Batch:
    """A batch of tuples as training draws it."""
    settings = params.training.float_baseline
    rows = np.arange(settings.tuples * (2 + settings.negatives))
    place = torch.from_numpy(np.where(rows % (2 + settings.negatives) == 1, rows - 1, rows))
    similar = place[:, None] == place
    return Batch(rows, np.zeros_like(rows), similar, ~similar)


def measure(params: Params, times: int) -> dict[str, Any]:
    """One row: what the network of these settings costs."""
    network = HashNetwork(params.network, None, pretrained=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.1)  # untrained, the activations would outgrow a float16
    network.to(device())
    batch, settings = draw_batch(params), params.training.float_baseline
    views = torch.randint(0, 256, (max(len(batch.rows), BATCH), 3, params.network.side, params.network.side), dtype=torch.uint8)
    with torch.no_grad():
        activations = (views if network.trains_whole else network.activations(views).cpu())[:, None]
    optimiser = torch.optim.AdamW(network.late.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    training = partial(train_round, Pooling(network), make_baseline_loss(settings), optimiser, activations, [batch])
    clock = perf_counter if device().type == "cuda" else process_time
    taken = medians({"step": training, "encode": partial(encode, network.eval(), activations[:BATCH])}, times, clock)
    return {
        "backbone": params.network.backbone,
        "photos_a_step": len(batch.rows),
        "step_s": round(taken["step"], 3),
        "encode_ms": round(1e3 * taken["encode"] / BATCH, 2),
    }


if __name__ == "__main__":
    study = open_study()
    parser = argparse.ArgumentParser(description="What training end to end costs.")
    parser.add_argument("backbones", nargs="*", default=[study.params.network.backbone])
    parser.add_argument("--side", type=int, default=study.params.network.side)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for backbone in options.backbones:
        network = study.params.network.model_copy(update={"backbone": backbone, "side": options.side})
        rows.append(measure(study.params.model_copy(update={"network": network}), options.times))
    kind = torch.cuda.get_device_name() if device().type == "cuda" else f"{platform.machine()} processor"
    figures = {"device": kind, "side": options.side, "frozen_blocks": study.params.network.frozen_blocks, "rows": rows}
    write_json(study.reports / "step.json", figures)
    print(json.dumps(figures, indent=2))
