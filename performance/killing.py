"""Whether `bcdh index` and `bcdh learn`, killed (SIGKILL) at random moments and called again, end as undisturbed: byte for byte.

    python performance/killing.py [ROUNDS [PHOTOS]]

Each round makes an index of drawn photos, or updates one after changes, and kills it once at a random moment with its workers.
With PHOTOS, a folder, `bcdh learn` on it is killed as often, always going on from the last time, and compared with one that ran
through.
"""

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

COMMAND = """
import sys
from bcdh_lib.search import index_update, own_study
from bcdh_lib.cli import main
index_update.PART_SECONDS, own_study.BLOCK = 0, 16
sys.exit(main(sys.argv[1:]))
"""


def draw_photo(path: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(path)


def run(folder: Path, arguments: list[str | Path], kill_after: float | None = None) -> tuple[bool, float]:
    """Whether the command was killed, and the seconds that it ran."""
    environment = os.environ | {"PYTHONPATH": str(find_root(Path(__file__).parent))}
    begun, quiet = time.monotonic(), subprocess.DEVNULL
    command = [sys.executable, "-c", COMMAND, *arguments]
    started = subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        started.wait(kill_after)
        assert started.returncode == 0
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    return started.returncode != 0, time.monotonic() - begun


def run_index(folder: Path, index: str, model: Path, kill_after: float | None = None) -> tuple[bool, float]:
    return run(folder, ["index", "album", "--model", model, "--index", index], kill_after)


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


def learn_with_kills(place: Path, photos: Path, kills: int, seed: int) -> int:
    """How often `bcdh learn` was killed before it ended as one that ran through, or AssertionError."""
    chance, place = random.Random(seed), place / "learn"
    place.mkdir()
    _, seconds = run(place, ["learn", photos, "--into", "undisturbed"])
    killed = 0
    while killed < kills and run(place, ["learn", photos, "--into", "killed"], chance.uniform(0.05, 0.5) * seconds)[0]:
        killed += 1
    run(place, ["learn", photos, "--into", "killed"])
    for name in ("learned.csv", "learned-64.safetensors", "learned-128.safetensors"):
        assert (place / "killed" / name).read_bytes() == (place / "undisturbed" / name).read_bytes(), f"{name} differs"
    return killed


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="bcdh-") as folder:
        torch.manual_seed(0)
        settings = open_study(root=find_root()).params.network
        save_checkpoint(Path(folder, "model.safetensors"), HashNetwork(settings, 64), {"method": "none"})
        killed = compare_with_kills(Path(folder), Path(folder, "model.safetensors"), rounds, photos=200, seed=0)
        print(f"{rounds} rounds, {killed} of them killed at work: each ended as the undisturbed run")
        if len(sys.argv) > 2:
            killed = learn_with_kills(Path(folder), Path(sys.argv[2]).resolve(), rounds, seed=0)
            print(f"bcdh learn, killed {killed} times: the same networks and table as undisturbed")
