"""A lock: one holder at a time, named to the others, gone with its process."""

import os
import signal
import subprocess
import sys

import pytest

from bcdh_lib.core.files import LockError, locked

HOLD = """
import sys, time
from pathlib import Path
from bcdh_lib.core.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_held_once_and_free_again(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        assert f"process {os.getpid()} on " in path.read_text()
        with pytest.raises(LockError, match=rf"lock: held by process {os.getpid()} on "), locked(path):
            pass
    assert path.read_text() == ""
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    with locked(path):
        pass


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockError, match=f"held by process {holder.pid} on ") as caught, locked(path):
            pass
        assert len(str(caught.value).splitlines()) == 1
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert path.read_text() != ""  # as the dead left it
        with locked(path):
            assert f"process {os.getpid()} " in path.read_text()


def test_where_no_file_can_be(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "nowhere/lock"):
        pass
