"""Tables: rows come back sorted, and a table of another form is reported with its name."""

import struct

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcdh_lib.core.errors import StudyError
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
