"""Contestants timed side by side, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np


def medians(contestants: dict[str, Callable[[], Any]], runs: int, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
    """Median seconds of each by the clock, after one run that does not count; they take turns.

    time.process_time counts the processor's seconds, which other work beside it hardly touches: for one thread and no GPU.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(1 + runs):
        for name, run in contestants.items():
            began = clock()
            run()
            times[name].append(clock() - began)
    return {name: float(np.median(taken[1:])) for name, taken in times.items()}
