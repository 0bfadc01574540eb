"""What the scripts measure with: times of contestants, jobs in processes of their own, memory."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np


def medians(contestants: dict[str, Callable[[], Any]], runs: int, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
    """Median seconds of each contestant by the clock, after one run that does not count.

    The contestants take turns, so that other work on the machine slows all of them equally.
    time.process_time counts seconds of the processor, which other work hardly affects; use it for one thread without a GPU.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(1 + runs):
        for name, run in contestants.items():
            began = clock()
            run()
            times[name].append(clock() - began)
    return {name: float(np.median(taken[1:])) for name, taken in times.items()}


def alone(job: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What the job gives in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(job, *arguments).result()


def peak_mb() -> int:
    """The greatest memory of this process so far, pages mapped of files included."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(round(int(line.split()[1]) / 1024) for line in lines if line.startswith("VmHWM"))
