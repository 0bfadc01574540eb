"""Work done side by side: in processes of this machine, or on the workers of a Dask cluster that share the study's folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from loky import ProcessPoolExecutor

from bcdh_lib.core.errors import StudyError

Job = TypeVar("Job")
Result = TypeVar("Result")

# Cores work on jobs, not on the sums within one: so what a job gives does not depend on how many there are.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def side_by_side(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """What `work` gives of each job, in the order in which they end; `workers` of them at a time.

    Raises what `work` raises, and StudyError where a process dies; what else is under way is given up then.
    """
    if not jobs:
        return
    pool = process_pool(min(workers, len(jobs)))
    try:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool:
        raise StudyError("a process died at work, as happens when memory runs out; try a smaller run.threads") from None
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


PATIENCE = 60
"""Seconds that a scheduler has to answer, and then its first worker to be there."""


def on_cluster(work: Callable[[Job], Result], jobs: Sequence[Job], scheduler: str) -> Iterator[Result]:
    """What `work` gives of each job, in the order in which they end, as side_by_side gives it.

    `scheduler` is a Dask scheduler's address. It hands a job to the next free worker; the job of a worker that dies is done
    again by another, until it has ended four of them (Dask's distributed.scheduler.allowed-failures).

    Dask's own futures, not joblib over them: joblib lays an argument of more than 1 kB in the memory of one worker, and where
    that worker dies nobody has it: the job fails (seen with joblib 1.6, as a FutureCancelledError).

    Raises what `work` raises, and StudyError, one line, where no scheduler or worker answers, the scheduler is lost, a job
    ends every worker it is given to, or a worker may work on several threads. Jobs under way are not broken off then.
    """
    if not jobs:
        return
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise StudyError(
            "cluster.scheduler is set and Dask is not installed: pip install -c constraints.txt -e .[cluster]"
        ) from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError):
        raise StudyError(
            f"no Dask scheduler answers at {scheduler}: start it (dask scheduler), or mend cluster.scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise StudyError(f"the Dask scheduler at {scheduler} has no worker: dask worker {scheduler} --nthreads 1") from None
        try:
            for done in as_completed(client.map(partial(_on_one_thread, work), jobs, pure=False), loop=client.loop):
                yield done.result()
        except KilledWorker as error:
            raise StudyError(
                f"a job ended {error.allowed_failures + 1} Dask workers, as happens when memory runs out; give each more of it"
            ) from None
        except CancelledError:
            raise StudyError(f"the Dask scheduler at {scheduler} was lost; start it again, and the study") from None


def _on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    """Do the job where a worker does one at a time, on one thread: else what it gives may differ in the last bit."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads != 1 or any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        needed = " ".join(f"{name}={value}" for name, value in ONE_THREAD.items())
        raise StudyError(f"the Dask worker at {worker.address} may use several threads: {needed} dask worker ... --nthreads 1")
    return work(job)
