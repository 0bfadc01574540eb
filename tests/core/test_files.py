"""Files written atomically and read with one clear fault; a lock has one holder, and ends with its process."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked, read_array, read_json, write_array, write_bytes

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
    with pytest.raises(StudyError, match=rf"lock: held by process {os.getpid()} on "), locked(path), locked(path):
        pass
    with locked(path):
        pass
    assert path.read_text() == ""
    with pytest.raises(FileNotFoundError), locked(tmp_path / "nowhere/lock"):
        pass


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StudyError, match=rf"^[^\n]*held by process {holder.pid} on [^\n]*$"), locked(path):
            pass
        holder.kill()
        holder.wait()
        with locked(path):
            assert f"process {os.getpid()} " in path.read_text()


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    write_bytes(tmp_path / "deep/file", b"old")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "deep/file", b"new")
    assert (tmp_path / "deep/file").read_bytes() == b"old"


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (0,), ()])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_comes_back(shape, mapped, tmp_path):
    written = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_array(tmp_path / "a.npy", written)
    read = read_array(tmp_path / "a.npy", mapped)
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert (read == written).all()


def test_a_damaged_array_is_a_value_error(tmp_path):
    """numpy.load would allocate the announced memory first, and accept a .zip."""
    header, zipped, whole = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 2)})
    np.savez(zipped, a=np.zeros(1))
    np.save(whole, np.zeros(9))
    cut, longer = whole.getvalue()[:-1], whole.getvalue() + b"0"
    for content in (header.getvalue(), zipped.getvalue(), b"", cut, longer, b"\x93NUMPY\1\0\xff\xff((("):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", "[" * 100_000])
def test_json_without_figures_is_a_study_error(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(StudyError, match=r"a\.json: "):
        read_json(tmp_path / "a.json")
