"""What reading photos costs an encoding: files against tensors that never were files.

    python performance/encoding.py [PHOTOS_A_RUN [FOLDER]]

Writes reports/encoding.json; some 15 minutes on 2 cores. Both are encoded by the same code on the same threads. The files are
read, decoded and resized by `run.threads` processes as `bcdh index` has them, which go on while the network encodes. They are
the JPEGs of the folder (default: the study's photos) as they are, and noisy copies of some, enlarged to the side of published
distractors and of a camera: real photos of that size may decode slower.

The stream of files never ends, so the start of the processes does not count. When a run begins, the photos under way are ready,
as they are when it ends, unless the network waits for them. `ratio` is the time of the files over that of the tensors;
`cores_to_keep_up` is how many cores reading needs so that the network does not wait. A busy machine slows all: `load` is the
number of processes that wanted the processor when the measurement began.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from medians import medians
from PIL import Image

from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.photo_file import LeftOut, decode_all
from bcdh_lib.search.encoder import BATCH, Encoded, Encoder, View, read_view
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.network import HashNetwork

BITS, RUNS, FILES, TIMED = 64, 9, 256, 32
SIDES = {"as_they_are": None, "1024_px": 1024, "4000_px": 4000}
NOISE = 4  # of 255, standard deviation


def enlarged(paths: list[Path], side: int | None, folder: Path) -> list[Path]:
    """Copies of TIMED photos whose longer side is `side` px; the photos themselves if it is None."""
    if side is None:
        return paths
    folder.mkdir()
    generator, copies = np.random.default_rng(0), []
    for path in paths[:TIMED]:
        with Image.open(path) as image:
            width, height = (round(length * side / max(image.size)) for length in image.size)
            large = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.asarray(large) + NOISE * generator.standard_normal((height, width, 1), np.float32)
        copies.append(folder / f"{path.stem}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(copies[-1], quality=90)
    return copies


def own_mb() -> int:
    """Memory of this process that is not mapped of a file."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(round(int(line.split()[1]) / 1024) for line in lines if line.startswith("RssAnon"))


def compare(encoder: Encoder, params: Params, paths: list[Path], count: int) -> dict[str, Any]:
    """Photos per second of files and of tensors, `count` of them a run."""
    side = params.network.side
    jobs = [(path.name, path) for path in paths]
    reading = partial(read_view, limits=params.photos, side=side)
    began = process_time()
    read = [reading(job) for job in jobs[:TIMED]]
    reading_s = (process_time() - began) / len(read)
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, 1, 3, side, side), np.uint8)
    drawn = [View(one.photo, pixels) for one, pixels in zip(cycle(read), noise, strict=False) if isinstance(one, View)]
    files = encoder.encode(decode_all(reading, cycle(jobs), params.run.threads))
    tensors = encoder.encode(cycle(drawn))

    def run(stream: Iterator[list[Encoded | LeftOut]]) -> None:
        for _ in range(count // BATCH):
            next(stream)

    run(files)
    before = own_mb()
    taken = medians({"files": partial(run, files), "tensors": partial(run, tensors)}, RUNS)
    return {
        **{f"{name}_a_second": round(count / seconds, 1) for name, seconds in taken.items()},
        "ratio": round(taken["files"] / taken["tensors"], 3),
        "reading_ms": round(1e3 * reading_s, 2),
        "cores_to_keep_up": round(reading_s * count / taken["tensors"], 3),
        "own_mb_before": before,
        "own_mb_after": own_mb(),
    }


def measure(count: int, folder: Path | None) -> dict[str, Any]:
    """All figures, of `count` photos a run."""
    load = round(os.getloadavg()[0], 1)
    study = open_study(root=find_root())
    params, folder = study.params, folder or study.photos / "images"
    paths = [path for path in find_files(folder)[0].values() if path.suffix == ".jpg"][:FILES]
    if not paths:
        raise SystemExit(f"{folder}: holds no photo (.jpg); name a folder that does, or make the study's with: make repro")
    encoder = Encoder(HashNetwork(params.network, BITS).eval())
    prepare_process()
    found = {}
    for name, side in SIDES.items():
        with tempfile.TemporaryDirectory(prefix="bcdh-") as place:
            found[name] = compare(encoder, params, enlarged(paths, side, Path(place, "large")), count)
    machine = {
        "cores": os.cpu_count(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__.split("+")[0],
        "load": load,
    }
    network = {"backbone": params.network.backbone, "side": params.network.side, "bits": BITS}
    made = {"threads": params.run.threads, "photos": len(paths), "photos_a_run": count, "runs": RUNS}
    return {**machine, **network, **made, **found}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    figures = measure(max(BATCH, count // BATCH * BATCH), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    write_json(find_root() / "reports/encoding.json", figures)
    print(json.dumps(figures, indent=2))
