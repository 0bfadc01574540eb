"""Times contestants in turns, so that other work on the machine slows all of them equally."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np


def medians(contestants: dict[str, Callable[[], Any]], runs: int, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
    """Median seconds of each contestant by the clock, after one run that does not count.

    time.process_time counts seconds of the processor, which other work hardly affects; use it for one thread without a GPU.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(1 + runs):
        for name, run in contestants.items():
            began = clock()
            run()
            times[name].append(clock() - began)
    return {name: float(np.median(taken[1:])) for name, taken in times.items()}
