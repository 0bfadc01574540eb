"""Work on a Dask cluster of two worker processes: all of it, also when one is killed at it; and what becomes of failures."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bcdh_lib.core import parallel as cluster
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import ONE_THREAD, on_cluster, side_by_side


def total(note: Path, numbers: np.ndarray) -> int:
    """The sum; who is the first at it is killed."""
    try:
        note.open("x").close()
    except FileExistsError:
        return int(numbers.sum())
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_worker_leaves_is_done_by_the_other_and_faults_are_told(dask_cluster, tmp_path, monkeypatch):
    """One story, because workers take seconds to start. The jobs are of more than 1 kB: those are what joblib's way loses."""
    jobs = [np.arange(300) + number for number in range(6)]
    from distributed import Client  # which the fixture has found there

    address, workers, scheduler = dask_cluster
    found = sorted(on_cluster(partial(total, tmp_path / "killed"), jobs, address))
    assert found == sorted(side_by_side(partial(total, tmp_path / "killed"), jobs, 2)) == [44850 + 300 * n for n in range(6)]
    assert [worker.poll() for worker in workers].count(-signal.SIGKILL) == 1

    with pytest.raises(ValueError, match="invalid literal"):
        list(on_cluster(int, ["1", "one"], address))

    monkeypatch.setattr(scheduler, "allowed_failures", 0)
    with pytest.raises(StudyError, match=r"^a job ended 1 Dask workers.*give each more of it$"):
        list(on_cluster(die, [1], address))

    wait = Client.wait_for_workers
    monkeypatch.setattr(Client, "wait_for_workers", lambda client, n, timeout: wait(client, n, 0.1))
    with pytest.raises(StudyError, match=r"^the Dask scheduler at .* has no worker: dask worker tcp://.* --nthreads 1$"):
        list(on_cluster(abs, [1], address))


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    with pytest.raises(StudyError, match=r"^no Dask scheduler answers at tcp://127\.0\.0\.1:1: .*cluster\.scheduler$"):
        list(on_cluster(abs, [1], "tcp://127.0.0.1:1"))


def test_nothing_to_do():
    assert list(on_cluster(abs, [], "nowhere")) == []


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StudyError, match="Dask is not installed: pip install"):
        list(on_cluster(abs, [1], "nowhere"))


@pytest.mark.parametrize(("threads", "omp", "refused"), [(1, "1", False), (2, "1", True), (1, "2", True)])
def test_only_a_worker_on_one_thread_works(threads, omp, refused, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    worker = SimpleNamespace(address="tcp://here", state=SimpleNamespace(nthreads=threads))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    for name in ONE_THREAD:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", omp)
    if refused:
        with pytest.raises(StudyError, match=r"^the Dask worker at tcp://here may use several threads: OMP_NUM_THREADS=1"):
            cluster._on_one_thread(abs, -1)
    else:
        assert cluster._on_one_thread(abs, -1) == 1
