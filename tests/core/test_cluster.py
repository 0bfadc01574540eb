"""Jobs on a Dask cluster of two worker processes: all are done even if one worker is killed, and failures are reported."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bcdh_lib.core import parallel
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import side_by_side


def total(note: Path, numbers: np.ndarray) -> int:
    """The sum; the first process to try is killed."""
    try:
        note.open("x").close()
    except FileExistsError:
        return int(numbers.sum())
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_jobs_of_a_killed_worker_are_repeated_and_faults_are_reported(dask_cluster, tmp_path, monkeypatch):
    """One test, because workers take seconds to start. Jobs are larger than 1 kB: joblib's Dask backend loses such jobs."""
    jobs = [np.arange(300) + number for number in range(6)]
    from distributed import Client

    address, workers, scheduler = dask_cluster
    found = sorted(side_by_side(partial(total, tmp_path / "killed"), jobs, 2, address))
    assert found == sorted(side_by_side(partial(total, tmp_path / "killed"), jobs, 2)) == [44850 + 300 * n for n in range(6)]
    assert [worker.poll() for worker in workers].count(-signal.SIGKILL) == 1

    with pytest.raises(ValueError, match="invalid literal"):
        list(side_by_side(int, ["1", "one"], 2, address))

    monkeypatch.setattr(scheduler, "allowed_failures", 0)
    with pytest.raises(StudyError, match="Dask workers"):
        list(side_by_side(die, [1], 2, address))

    wait = Client.wait_for_workers
    monkeypatch.setattr(Client, "wait_for_workers", lambda client, n, timeout: wait(client, n, 0.1))
    with pytest.raises(StudyError, match="has no worker"):
        list(side_by_side(abs, [1], 2, address))


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(parallel, "PATIENCE", 0.2)
    with pytest.raises(StudyError, match=r"cluster\.scheduler"):
        list(side_by_side(abs, [1], 2, "tcp://127.0.0.1:1"))
