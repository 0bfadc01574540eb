"""Tables: what is written comes back sorted, and a table of another form is named."""

import io
import struct
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array, write_array
from bcdh_lib.core.tables import TABLES, read_figures, read_table, write_table


def landmarks(**columns):
    return pd.DataFrame({"path": ["b.jpg", "a.jpg"], "landmark": ["one", None]} | columns)


def test_rows_come_back_sorted_and_the_bytes_do_not_depend_on_their_order(tmp_path):
    write_table(tmp_path, "landmarks", landmarks())
    first = (tmp_path / "landmarks.parquet").read_bytes()
    assert read_table(tmp_path, "landmarks")["path"].tolist() == ["a.jpg", "b.jpg"]
    write_table(tmp_path, "landmarks", landmarks().iloc[::-1])
    assert (tmp_path / "landmarks.parquet").read_bytes() == first


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_empty_and_names_its_stage_where_absent(name, tmp_path):
    with pytest.raises(StudyError, match=f"is not there; make it with: dvc repro {TABLES[name].stage}"):
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


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "landmarks.parquet").write_bytes(b"no parquet")
    with pytest.raises(StudyError, match=r"landmarks\.parquet: is not a readable table"):
        read_table(tmp_path, "landmarks")
    pd.DataFrame({"path": [1]}).to_parquet(tmp_path / "landmarks.parquet")
    with pytest.raises(StudyError, match=r"column path \(string\) is missing"):
        read_table(tmp_path, "landmarks")


def test_figures_by_hand(tmp_path):
    (tmp_path / "a.json").write_text('{"photos": 3, "left": {"small": 1}}')
    assert read_figures(tmp_path / "a.json")["figure"].to_dict() == {"photos": 3, "left: small": 1}
    for content, said in (("{", "cannot be read"), ("[" * 10**5, "cannot be read"), ("[1, 2]", "holds no figures")):
        (tmp_path / "b.json").write_text(content)
        with pytest.raises(StudyError, match=rf"b\.json: {said}"):
            read_figures(tmp_path / "b.json")


def test_a_text_that_is_no_unicode_is_named_in_a_line(tmp_path):
    text = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xff"))
    pq.write_table(pa.table({"path": text, "landmark": text}), tmp_path / "landmarks.parquet")
    with pytest.raises(StudyError, match=r"landmarks\.parquet: is not a readable table .*UTF8") as caught:
        read_table(tmp_path, "landmarks")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (0,), ()])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_comes_back(shape, mapped, tmp_path):
    written = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_array(tmp_path / "a.npy", written)
    read = read_array(tmp_path / "a.npy", mapped)
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert (read == written).all()


def test_an_array_that_is_not_there_is_not_made_room_for(tmp_path):
    """numpy.load would ask for the announced memory first, and give a .zip as something else than an array."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 2)})
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.npy", b"")
    whole = io.BytesIO()
    np.save(whole, np.zeros(9))
    contents = (
        header.getvalue(),
        zipped.getvalue(),
        b"",
        whole.getvalue()[:-1],
        whole.getvalue() + b"0",
        b"\x93NUMPY\1\0\xff\xff(((",
    )
    for content in contents:
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"^it (is no \.npy|announces) [^\n]*$"):
            read_array(tmp_path / "a.npy")
