"""Jobs in parallel, in processes or on a Dask cluster: all are done, whichever finishes first, and failures are reported."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from bcdh_lib.core import parallel
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import side_by_side
from tests.helpers import refused


def slow_square(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number**2


def test_all_jobs_are_done_once_on_one_thread_each():
    assert sorted(side_by_side(slow_square, range(6), 2)) == [0, 1, 4, 9, 16, 25]
    assert list(side_by_side(slow_square, [], 2)) == []
    assert next(side_by_side(os.getenv, ["OPENBLAS_NUM_THREADS"], 2)) == "1"


def test_the_error_of_a_job_is_raised_unchanged_and_a_process_that_dies_is_one_line():
    with pytest.raises(ValueError, match="invalid literal"):
        list(side_by_side(int, ["1", "one"], 2))
    with refused(r"run\.threads"):
        list(side_by_side(os._exit, [9], 1))


PARENT = """
import os, sys, time
from bcdh_lib.core.parallel import side_by_side
def work(note):
    with open(note, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
list(side_by_side(work, [sys.argv[1]], 1))
"""


def test_workers_end_with_the_process_that_started_them(tmp_path):
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(note)], stderr=subprocess.DEVNULL)
    wait(lambda: note.exists() and note.read_text())
    worker = psutil.Process(int(note.read_text()))
    parent.kill()
    parent.wait()
    wait(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


BAR = """
from bcdh_lib.core.parallel import side_by_side
def work(number):
    from tqdm.auto import tqdm
    tqdm([number], disable=None).close()
    return number
assert list(side_by_side(work, [3], 1)) == [3]
"""


def test_a_worker_with_a_progress_bar_ends_without_a_warning():
    assert subprocess.run([sys.executable, "-c", BAR], check=True, capture_output=True, text=True).stderr == ""


def wait(until) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def total(note: Path, numbers: np.ndarray) -> int:
    """The sum; the first process to try is killed."""
    try:
        note.open("x").close()
    except FileExistsError:
        return int(numbers.sum())
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_jobs_of_a_killed_worker_are_repeated_and_faults_are_reported(dask_cluster, tmp_path, monkeypatch):
    """One test, because workers take seconds to start. Jobs are larger than 1 kB: joblib's Dask backend loses such jobs."""
    jobs = [np.arange(300) + number for number in range(6)]
    address, workers, scheduler = dask_cluster
    found = sorted(side_by_side(partial(total, tmp_path / "killed"), jobs, 2, address))
    assert found == sorted(side_by_side(partial(total, tmp_path / "killed"), jobs, 2)) == [44850 + 300 * n for n in range(6)]
    assert [worker.poll() for worker in workers].count(-signal.SIGKILL) == 1

    with pytest.raises(ValueError, match="invalid literal"):
        list(side_by_side(int, ["1", "one"], 2, address))

    monkeypatch.setattr(scheduler, "allowed_failures", 0)
    with pytest.raises(StudyError, match="Dask workers"):
        list(side_by_side(os._exit, [9], 2, address))


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(parallel, "PATIENCE", 0.2)
    with pytest.raises(StudyError, match=r"cluster\.scheduler"):
        list(side_by_side(abs, [1], 2, "tcp://127.0.0.1:1"))
