"""Shares of the comparison as processes of this machine: one a GPU, or else one of a single thread a CPU core.

Two processes of one thread each finish twice as many trainings as one of two threads. The numerical libraries must be told so
when they start: a second thread of theirs waits for its fellow by spinning, and where other work shares the cores that is tenfold
slower.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import ONE_THREAD
from bcdh_lib.study import Study

PAUSE = 2.0
"""Seconds between two looks at what the shares have finished."""


def run_shares(study: Study, results: Sequence[Path], only: Sequence[str] = ()) -> None:
    """Run all shares to their end, with a bar of the `results` (files) that are there. What each share says is in its log.

    Raises StudyError where one fails; the others are stopped then, and a later call goes on where they were.
    """
    count = torch.cuda.device_count() or len(os.sched_getaffinity(0))
    folder = study.root / "work/study"
    folder.mkdir(parents=True, exist_ok=True)
    logs = [folder / f"share-{number + 1}.log" for number in range(count)]
    shares = [_start(study, number, count, logs[number], only) for number in range(count)]
    try:
        with tqdm(desc="results", unit="file", total=len(results)) as bar:
            while any(share.poll() is None for share in shares):
                _check(shares, logs)
                bar.update(sum(path.is_file() for path in results) - bar.n)
                time.sleep(PAUSE)
        _check(shares, logs)
    finally:
        for share in shares:
            share.terminate()
            share.wait()


def _start(study: Study, number: int, count: int, log: Path, only: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bcdh_lib.comparison.matrix", "--share", f"{number + 1}/{count}"]
    command += ["--only", *only] if only else []
    gpus = torch.cuda.device_count()
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": str(number)} if gpus else ONE_THREAD)
    command += [] if gpus else ["--threads", "1"]
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(command, cwd=study.root, env=environment, stdout=file, stderr=file)


def _check(shares: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> None:
    for share, log in zip(shares, logs, strict=True):
        if share.poll():
            raise StudyError(f"{log}: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").strip().splitlines()
    return lines[-1] if lines else "nothing was said"
