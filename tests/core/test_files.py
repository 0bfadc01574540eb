"""Files and tables are written atomically and read with one clear fault; a lock has one holder; how a command ends."""

import io
import os
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import locked, read_array, read_json, write_array, write_bytes
from bcdh_lib.core.tables import TABLES, read_figures, read_table, write_table

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
    np.testing.assert_array_equal(read, written, strict=True)


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


def landmarks(**columns):
    return pd.DataFrame({"path": ["b.jpg", "a.jpg"], "landmark": ["one", None]} | columns)


def test_rows_come_back_sorted_and_the_bytes_do_not_depend_on_their_order(tmp_path):
    write_table(tmp_path, "landmarks", landmarks())
    first = (tmp_path / "landmarks.parquet").read_bytes()
    assert read_table(tmp_path, "landmarks")["path"].tolist() == ["a.jpg", "b.jpg"]
    write_table(tmp_path, "landmarks", landmarks().iloc[::-1])
    assert (tmp_path / "landmarks.parquet").read_bytes() == first


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_empty_and_names_its_stage_if_absent(name, tmp_path):
    with pytest.raises(StudyError, match=f"dvc repro {TABLES[name].stage}"):
        read_table(tmp_path, name)
    write_table(tmp_path, name, TABLES[name].schema.empty_table().to_pandas())
    assert len(read_table(tmp_path, name)) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (landmarks().drop(columns="landmark"), "has columns"),
        (landmarks(extra=1), "has columns"),
        (landmarks(path="same.jpg"), "path repeats"),
        (landmarks(path=[1, 2]), "landmarks.parquet"),
    ],
)
def test_rows_of_another_form_are_named(rows, message, tmp_path):
    with pytest.raises(StudyError, match=message):
        write_table(tmp_path, "landmarks", rows)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_named_in_one_line(tmp_path):
    path = tmp_path / "landmarks.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(StudyError, match=r"landmarks\.parquet: [^\n]*$"):
        read_table(tmp_path, "landmarks")
    pd.DataFrame({"path": [1]}).to_parquet(path)
    with pytest.raises(StudyError, match="column path"):
        read_table(tmp_path, "landmarks")
    text = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xff"))  # not Unicode
    pq.write_table(pa.table({"path": text, "landmark": text}), path)
    with pytest.raises(StudyError, match=r"landmarks\.parquet: [^\n]*UTF8[^\n]*$"):
        read_table(tmp_path, "landmarks")


def test_figures_by_hand(tmp_path):
    (tmp_path / "a.json").write_text('{"photos": 3, "left": {"small": 1}}')
    assert read_figures(tmp_path / "a.json")["figure"].to_dict() == {"photos": 3, "left: small": 1}


@pytest.mark.parametrize(
    ("outcome", "code", "line"),
    [
        (None, 0, ""),
        (3, 3, ""),
        (StudyError("params.yaml: wrong"), 1, "params.yaml: wrong\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_codes_and_lines(outcome, code, line, capsys):
    def command():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    assert exit_code(command, "stopped") == code
    assert capsys.readouterr().err == line


def test_other_errors_pass_unless_named():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, "stopped")
    assert exit_code(lambda: 1 // 0, "stopped", (StudyError, ZeroDivisionError)) == 1


def test_text_becomes_part_of_a_line():
    assert one_line("a\n b\x00\x1b[31m", 6) == "a b\\x00\\x1b["
