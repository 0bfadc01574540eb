"""Work done side by side on the workers of a Dask cluster, who share the study's folder: what one leaves, another does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import TypeVar

from bcdh_lib.workers import ONE_THREAD, WorkerError

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = 60
"""Seconds that a scheduler has to answer, and then its first worker to be there."""


def on_cluster(work: Callable[[Job], Result], jobs: Sequence[Job], scheduler: str) -> Iterator[Result]:
    """What `work` gives of each job, in the order in which they end, as bcdh_lib.workers.side_by_side gives it.

    `scheduler` is a Dask scheduler's address. It hands a job to the next free worker; the job of a worker that dies is done
    again by another, until it has ended four of them (Dask's distributed.scheduler.allowed-failures).

    Dask's own futures, not joblib over them: joblib lays an argument of more than 1 kB in the memory of one worker, and where
    that worker dies nobody has it: the job fails (seen with joblib 1.6, as a FutureCancelledError).

    Raises what `work` raises, and WorkerError, one line, where no scheduler or worker answers, the scheduler is lost, a job
    ends every worker it is given to, or a worker may work on several threads. Jobs under way are not broken off then.
    """
    if not jobs:
        return
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise WorkerError(
            "cluster.scheduler is set and Dask is not installed: pip install -c constraints.txt -e .[cluster]"
        ) from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError):
        raise WorkerError(
            f"no Dask scheduler answers at {scheduler}: start it (dask scheduler), or mend cluster.scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise WorkerError(f"the Dask scheduler at {scheduler} has no worker: dask worker {scheduler} --nthreads 1") from None
        try:
            for done in as_completed(client.map(partial(_on_one_thread, work), jobs, pure=False), loop=client.loop):
                yield done.result()
        except KilledWorker as error:
            raise WorkerError(
                f"a job ended {error.allowed_failures + 1} Dask workers, as happens when memory runs out; give each more of it"
            ) from None
        except CancelledError:
            raise WorkerError(f"the Dask scheduler at {scheduler} was lost; start it again, and the study") from None


def _on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    """Do the job where a worker does one at a time, on one thread: else what it gives may differ in the last bit."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads != 1 or any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        needed = " ".join(f"{name}={value}" for name, value in ONE_THREAD.items())
        raise WorkerError(f"the Dask worker at {worker.address} may use several threads: {needed} dask worker ... --nthreads 1")
    return work(job)
