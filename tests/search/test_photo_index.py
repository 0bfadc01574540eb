"""Searching an index: equal to brute force, ties in the order of rows, the index's own thresholds; broken ones are named."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcdh_lib.core.codes import unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.photos.folder import path_from_table
from bcdh_lib.search import photo_index
from bcdh_lib.search.index_update import update
from bcdh_lib.search.photo_index import ROW, Facts, PhotoIndex, Rows, open_index, publish
from bcdh_lib.study import Study


@pytest.fixture
def index(album, checkpoint, params, tmp_path, taken):
    """The index of the album in `index`."""
    (album / "a\nb.png").write_bytes((album / "4.png").read_bytes())
    update(tmp_path / "index", album, checkpoint, Study(tmp_path, params))
    return tmp_path / "index"


def test_a_photo_of_the_index_finds_itself_first_and_its_equal_next(index, album):
    opened = open_index(index)
    (hits,) = opened.search([album / "4.png"], 3)
    assert [(hit.distance, hit.path) for hit in hits[:2]] == [(0, f"{album}/4.png"), (0, f"{album}/a\\nb.png")]
    assert path_from_table(hits[1].path).read_bytes() == (album / "4.png").read_bytes()
    assert hits[2].distance >= 0


def test_search_equals_brute_force(index, album, tmp_path, draw_photo):
    """Queries from anywhere, one twice, and more asked for than there is; then with other thresholds."""
    draw_photo(tmp_path / "query.png", 77)
    queries = [tmp_path / "query.png", album / "inner/1.png", tmp_path / "query.png"]
    for recentre in (False, True):
        if recentre:
            update(index, album, recentre=True)
        opened = open_index(index)
        codes = unpack(opened._codes_of(queries))
        distances = (codes[:, None] != unpack(opened.rows.codes)[None]).sum(2)
        order = np.argsort(distances, axis=1, kind="stable")
        for k in (1, 3, 100):
            for found, wanted, row in zip(opened.search(queries, k), order[:, :k], distances, strict=True):
                assert [hit.distance for hit in found] == row[wanted].tolist()
                assert [hit.path for hit in found] == [f"{album}/{path}" for path in opened.rows.photos["path"].iloc[wanted]]
        assert opened.rows.photos["path"].iloc[order[1, 0]] == "inner/1.png"


def test_many_ties_stand_in_the_order_of_rows(params, tmp_path, monkeypatch):
    """Codes of 8 bits with 4 different values, far more of them than are asked for."""
    codes = np.random.default_rng(0).integers(0, 4, (3000, 1), np.uint8)
    photos = pd.DataFrame({"path": [f"{row:04}" for row in range(3000)], "size": 1, "mtime_ns": 1, "sha256": ""})
    facts = Facts(model="", photos=params.photos.model_copy(update={"folder": "/p"}), threads=1, recentred=False, rows="")
    blocks = [(photos[start : start + 700], codes[start : start + 700]) for start in range(0, 3000, 700)]
    publish(tmp_path / "index", facts, np.zeros(8, np.float32), blocks, [])
    index = open_index(tmp_path / "index")
    assert index.rows.paths([2999, 0, 699, 700]) == {row: f"{row:04}" for row in (2999, 0, 699, 700)}
    assert index.rows.photos.equals(photos)
    queries = np.arange(4, dtype=np.uint8)[:, None]
    monkeypatch.setattr(PhotoIndex, "_codes_of", lambda self, _: queries)
    for k in (1, 10, 1000):
        for query, found in zip(queries, index.search([], k), strict=True):
            wanted = np.argsort(np.bitwise_count(codes ^ query)[:, 0], kind="stable")[:k]
            assert [hit.path for hit in found] == [f"/p/{row:04}" for row in wanted]


def test_a_query_that_is_no_photo_is_named(index, album, tmp_path):
    for query, reason in ((album / "notes.jpg", "not an image"), (tmp_path / "gone.jpg", "unreadable"), (album, "not an image")):
        with pytest.raises(StudyError, match=rf"{query.name}: {reason} \(.*\); name a photo") as caught:
            open_index(index).search([album / "4.png", query], 3)
        assert len(str(caught.value).splitlines()) == 1


def test_a_broken_index_is_named(index, album):
    with pytest.raises(StudyError, match=r"album: holds no index; make one with: bcdh index"):
        open_index(album)
    facts, rows = (index / "index.json").read_text(), index / open_index(index).facts.rows
    for content, said in (("{", "JSON"), (facts.replace('"threads": 1', '"threads": 0'), "threads"), ("{}", "model")):
        write_bytes(index / "index.json", content.encode())
        with pytest.raises(StudyError, match=rf"index\.json: .*{said}.*make a new index"):
            open_index(index)
    write_bytes(index / "index.json", facts.encode())
    np.save(rows / "codes.npy", np.zeros((2, 2), np.uint8))
    with pytest.raises(StudyError, match=r"rows cannot be read \(codes\.npy holds uint8 \(2, 2\) for 7 photos"):
        open_index(index)
    (rows / "codes.npy").unlink()
    with pytest.raises(StudyError, match="rows cannot be read"):
        open_index(index)


def test_a_table_broken_further_in_is_named_when_it_is_read(index):
    """Its end, which tells of its parts, is sound; opening it reads no more. Pages that are none; texts that are not Unicode."""
    file = index / open_index(index).facts.rows / "photos.parquet"
    sound = file.read_bytes()
    column = pq.read_metadata(file).row_group(0).column(0)
    start = column.dictionary_page_offset
    pages = sound[:start] + b"\xff" * column.total_compressed_size + sound[start + column.total_compressed_size :]
    ends, buffer = np.arange(8, dtype=np.int32), io.BytesIO()
    texts = pa.StringArray.from_buffers(7, pa.py_buffer(ends), pa.py_buffer(b"\xff" * 7))
    pq.write_table(pq.read_table(file).set_column(0, "path", texts), buffer)
    for content in (pages, buffer.getvalue()):
        file.write_bytes(content)
        for read in (lambda rows: rows.photos, lambda rows: list(rows.blocks()), lambda rows: rows.paths([0])):
            rows = open_index(index).rows
            with pytest.raises(StudyError, match=r"photos\.parquet: its rows cannot be read \(.*\); make a new") as caught:
                read(rows)
            assert str(caught.value).isprintable()


def test_a_table_without_a_value_is_named(index, monkeypatch):
    """By the counts at its end; and where these lie, by the rows."""
    file = index / open_index(index).facts.rows / "photos.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(3, "sha256", pa.array([None, *table["sha256"].to_pylist()[1:]])), file)
    with pytest.raises(StudyError, match=r"rows cannot be read \(photos\.parquet has not the columns"):
        open_index(index)
    monkeypatch.setattr(photo_index, "_has_nulls", lambda metadata: False)
    with pytest.raises(StudyError, match=r"rows cannot be read \(it has not every column of 7 rows\)"):
        list(open_index(index).rows.blocks())


def test_another_model_in_its_place_is_refused(index, album, params):
    for recentred in ("model.safetensors", "model.json"):
        before = (index / recentred).read_bytes()
        (index / recentred).write_bytes(before[:-9])
        with pytest.raises(StudyError, match=r"model\.safetensors"):
            open_index(index).search([album / "4.png"], 1)
        (index / recentred).write_bytes(before)
    opened = open_index(index)
    rows = [(opened.rows.photos, opened.rows.codes)]
    publish(index, opened.facts.model_copy(update={"model": "0" * 64}), opened.rows.centre, rows, [])
    with pytest.raises(StudyError, match="is not the network that made the codes"):
        open_index(index).search([album / "4.png"], 1)


def test_rows_put_in_place_between_two_reads_are_found(index, monkeypatch):
    """A reader that has read index.json, and finds the rows it names gone: newer ones are there by now."""
    opened = open_index(index)
    read = Facts.model_validate_json

    def read_and_be_overtaken(content):
        facts = read(content)
        monkeypatch.undo()
        fewer = [(opened.rows.photos.iloc[:3], opened.rows.codes[:3])]
        publish(index, opened.facts, opened.rows.centre, fewer, [])
        return facts

    monkeypatch.setattr(Facts, "model_validate_json", read_and_be_overtaken)
    assert len(open_index(index).rows.photos) == 3


def test_no_row(params, tmp_path):
    assert Rows().photos.columns.tolist() == ROW.names
    assert Rows().codes.shape == (0, 0)
