"""Work done side by side in processes: each on one thread, and ended when the process that started it ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor

Job = TypeVar("Job")
Result = TypeVar("Result")

# Cores work on jobs, not on the sums within one: so what a job gives does not depend on how many there are.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class WorkerError(RuntimeError):
    """A process ended before its work was done."""


def side_by_side(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """What `work` gives of each job, in the order in which they end; `workers` of them at a time.

    Raises what `work` raises, and WorkerError where a process dies; what else is under way is given up then.
    """
    if not jobs:
        return
    pool = process_pool(min(workers, len(jobs)))
    try:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool:
        raise WorkerError("a process died at work, as happens when memory runs out; try a smaller run.threads") from None
    finally:
        pool.shutdown(kill_workers=True)


def process_pool(workers: int, prepare: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Processes that call `prepare` first.

    loky's, not forks of this one: a notebook kernel has threads, and a fork copies the locks they hold.
    """
    return ProcessPoolExecutor(workers, initializer=_begin, initargs=(os.getpid(), prepare), env=ONE_THREAD)


def _begin(parent: int, prepare: Callable[[], None] | None) -> None:
    """Prepare a process, and see to it that it ends when its parent does: a killed run leaves none behind."""

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    if prepare:
        prepare()
