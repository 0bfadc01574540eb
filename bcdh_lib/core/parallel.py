"""Jobs run in parallel: in processes on this machine, or on the workers of a Dask cluster that share the study's folder."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from loky import ProcessPoolExecutor
from tqdm import tqdm

from bcdh_lib.core.errors import StudyError

Job = TypeVar("Job")
Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Each job runs on one thread, so its result does not depend on the number of cores."""
PATIENCE = 60
"""Seconds to wait for a Dask scheduler to answer, and then for its first worker."""


def side_by_side(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, scheduler: str | None = None
) -> Iterator[Result]:
    """Results of `work` on each job, in the order in which they finish, from up to `workers` processes at a time.

    scheduler: address of a Dask scheduler; its workers then do the jobs instead (cluster.scheduler in params.yaml).
    Raises what `work` raises, and StudyError if a process dies; unfinished jobs are then cancelled.
    """
    if scheduler and jobs:
        yield from _on_cluster(work, jobs, scheduler)
    elif jobs:
        pool = process_pool(min(workers, len(jobs)))
        try:
            for done in as_completed([pool.submit(work, job) for job in jobs]):
                yield done.result()
        except BrokenProcessPool:
            raise StudyError("a worker process died: memory or disk may be full; free some, or lower run.threads") from None
        finally:
            pool.shutdown(kill_workers=True)


def process_pool(workers: int, prepare: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """A pool of fresh processes that call `prepare` first.

    loky starts new ones. Forking would copy the locks that a notebook kernel's threads hold.
    """
    return ProcessPoolExecutor(workers, initializer=_begin, initargs=(os.getpid(), prepare), env=ONE_THREAD)


def _begin(parent: int, prepare: Callable[[], None] | None) -> None:
    """Prepare a worker process, and end it when its parent ends, so that a killed run leaves none behind."""

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore: when a worker ends, Python warns that it leaked
    if prepare:
        prepare()


def _on_cluster(work: Callable[[Job], Result], jobs: Sequence[Job], scheduler: str) -> Iterator[Result]:
    """`side_by_side` on a Dask cluster. If a worker dies, another repeats its job, up to Dask's allowed-failures."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise StudyError("cluster.scheduler: Dask is not installed: pip install -c constraints.txt -e .[cluster]") from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError):
        raise StudyError(f"cluster.scheduler: nothing answers at {scheduler}; start it: dask scheduler") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
            for done in as_completed(client.map(partial(_on_one_thread, work), jobs, pure=False), loop=client.loop):
                yield done.result()
        except KilledWorker as error:
            killed = error.allowed_failures + 1
            raise StudyError(f"a job killed {killed} Dask workers, probably for lack of memory; give each worker more") from None
        except CancelledError:
            raise StudyError(f"cluster.scheduler: {scheduler} was lost; restart it, then run the study again") from None
        except TimeoutError:
            raise StudyError(f"cluster.scheduler: {scheduler} has no worker: dask worker {scheduler} --nthreads 1") from None


def _on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    """Do the job, if this worker does one at a time on one thread: otherwise results may differ in the last bit."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads != 1 or not ONE_THREAD.items() <= os.environ.items():
        needed = " ".join(f"{name}={value}" for name, value in ONE_THREAD.items())
        raise StudyError(f"the Dask worker at {worker.address} may use several threads: {needed} dask worker ... --nthreads 1")
    return work(job)
