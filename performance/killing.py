"""Whether `bcdh index`, killed (SIGKILL) at random moments and called again, ends as an undisturbed run: byte for byte.

    python performance/killing.py [ROUNDS]

Each round makes an index of drawn photos, or updates one after changes, and kills it once at a random moment with its workers.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.checkpoint import save_checkpoint
from bcdh_lib.training.network import HashNetwork

INDEX = """
import sys
from bcdh_lib.search import index_update
from bcdh_lib.cli import main
index_update.PART_SECONDS = 0
sys.exit(main(["index", *sys.argv[1:]]))
"""


def draw_photo(path: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(path)


def run_index(folder: Path, index: str, model: Path, kill_after: float | None = None) -> tuple[bool, float]:
    """Whether the update was killed, and the seconds that it ran."""
    command = [sys.executable, "-c", INDEX, "album", "--model", model, "--index", index]
    environment = os.environ | {"PYTHONPATH": str(find_root(Path(__file__).parent))}
    begun = time.monotonic()
    run = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        run.wait(kill_after)
        assert run.returncode == 0
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    return run.returncode != 0, time.monotonic() - begun


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_at_work(place: Path, index: str, model: Path, moment: float) -> bool:
    """Kill an update `moment` seconds after its start: if it ended sooner, try again on what was there, and kill it earlier.

    How long an update takes depends on what else the machine does, so a moment drawn from an earlier run can come too late.
    """
    before, here = place / "before", place / index
    if here.exists():
        shutil.copytree(here, before)
    was_killed, _ = run_index(place, index, model, moment)
    while not was_killed:
        moment *= 0.7
        shutil.rmtree(here)
        if before.exists():
            shutil.copytree(before, here)
        was_killed, _ = run_index(place, index, model, moment)
    shutil.rmtree(before, ignore_errors=True)
    return was_killed


def compare_with_kills(place: Path, model: Path, rounds: int, photos: int, seed: int) -> int:
    """The number of rounds that were killed before they ended; each ended as the undisturbed run, or AssertionError."""
    chance, killed = random.Random(seed), 0
    (place / "album").mkdir()
    for number in range(photos):
        draw_photo(place / f"album/{number:03}.png", number)
    _, seconds = run_index(place, "undisturbed", model)
    for number in range(rounds):
        if number % 2:  # an update after changes
            draw_photo(place / "album/000.png", photos + number)
            draw_photo(place / f"album/new {number}.png", 2 * photos + number)
            run_index(place, "undisturbed", model)
        index = "index" if number % 2 else f"index {number}"
        killed += kill_at_work(place, index, model, chance.uniform(0.3, 1.0) * seconds)
        run_index(place, index, model)
        if number % 2 == 0:
            subprocess.run(["rm", "-rf", "undisturbed", "index"], cwd=place, check=True)
            run_index(place, "undisturbed", model)
            run_index(place, "index", model)
        assert contents(place / index) == contents(place / "undisturbed"), f"round {number} differs (seed {seed})"
    return killed


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="bcdh-") as folder:
        torch.manual_seed(0)
        settings = open_study(root=find_root()).params.network
        save_checkpoint(Path(folder, "model.safetensors"), HashNetwork(settings, 64), {"method": "none"})
        killed = compare_with_kills(Path(folder), Path(folder, "model.safetensors"), rounds, photos=200, seed=0)
    print(f"{rounds} rounds, {killed} of them killed at work: each ended as the undisturbed run")
