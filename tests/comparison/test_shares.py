"""Shares as processes: all run to their end; one that fails stops the others, and its last words are told."""

import subprocess
import sys

import pytest

from bcdh_lib.comparison import shares
from bcdh_lib.comparison.shares import run_shares
from bcdh_lib.core.errors import StudyError


@pytest.fixture
def pretend(monkeypatch):
    """Put Python programs, by share, in the place of the shares of the comparison, two of them."""
    monkeypatch.setattr(shares, "PAUSE", 0.01)
    monkeypatch.setattr(shares.os, "sched_getaffinity", lambda process: {0, 1})
    started = []

    def put(*programs):
        def start(study, number, count, log, only):
            with log.open("w") as file:
                process = subprocess.Popen([sys.executable, "-c", programs[number]], cwd=study.root, stdout=file, stderr=file)
            started.append(process)
            return process

        monkeypatch.setattr(shares, "_start", start)
        return started

    return put


def test_all_run_to_their_end(study, pretend, capsys):
    started = pretend("open('a', 'w')", "import time; time.sleep(0.3); open('b', 'w')")
    run_shares(study, [study.root / "a", study.root / "b"])
    assert [process.returncode for process in started] == [0, 0]
    assert (study.root / "b").is_file()


def test_one_that_fails_stops_the_others(study, pretend):
    started = pretend("import sys; sys.exit('params.yaml: is not there')", "import time; time.sleep(600)")
    with pytest.raises(StudyError, match=r"share-1\.log: params\.yaml: is not there"):
        run_shares(study, [])
    assert started[1].returncode not in (None, 0)


def test_one_that_dies_without_a_word(study, pretend):
    pretend("pass", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(StudyError, match=r"share-2\.log: nothing was said"):
        run_shares(study, [])


def test_a_share_is_the_comparison_itself_on_one_thread(study, monkeypatch):
    asked = {}
    monkeypatch.setattr(shares.subprocess, "Popen", lambda command, **options: asked.update(options, command=command))
    shares._start(study, 1, 4, study.root / "log", ["dch"])
    assert asked["command"][1:] == ["-m", "bcdh_lib.comparison.matrix", "--share", "2/4", "--only", "dch", "--threads", "1"]
    assert asked["env"]["OPENBLAS_NUM_THREADS"] == "1"
