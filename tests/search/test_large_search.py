"""Searching many codes: by hand, all lists and all flips against exact search, at the edges; stale and broken files."""

import io
import os

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcdh_lib import cli as command
from bcdh_lib.core import codes as plain
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import LockError, locked
from bcdh_lib.search import photo_index
from bcdh_lib.search.large_search import (
    METHODS,
    NPROBE,
    approximate,
    build,
    exact,
    index_file,
    lists_of,
    parts_of,
    read_index,
    search_file,
    write_index,
)
from bcdh_lib.search.photo_index import ROW, Facts, PhotoIndex, Rows

ALL = 10**6


def draw(n: int, bits: int = 32) -> np.ndarray:
    """Codes about eight centres."""
    generator = np.random.default_rng(n)
    centres = np.random.default_rng(0).integers(0, 256, (8, bits // 8), np.uint8)
    return centres[generator.integers(0, 8, n)] ^ (1 << generator.integers(0, 8, (n, bits // 8))).astype(np.uint8)


@pytest.fixture
def opened(params, tmp_path, monkeypatch):
    """An index of codes in `rows`, without photos; its queries are the codes of draw(5)."""

    def opened(codes: np.ndarray, rows: str = "rows") -> PhotoIndex:
        (tmp_path / rows).mkdir(exist_ok=True)
        photos = pd.DataFrame({"path": [f"{row:04}" for row in range(len(codes))], "size": 1, "mtime_ns": 1, "sha256": ""})
        limits = params.photos.model_copy(update={"folder": "/p"})
        facts = Facts(model="", photos=limits, threads=1, recentred=False, rows=rows)
        written = io.BytesIO()
        pq.write_table(pa.Table.from_pandas(photos, schema=ROW), written)
        table = pq.ParquetFile(written)
        return PhotoIndex(tmp_path, facts, Rows(table, codes, np.zeros(8 * codes.shape[1], np.float32)))

    monkeypatch.setattr(PhotoIndex, "_codes_of", lambda self, _: draw(5))
    return opened


@pytest.fixture
def built(monkeypatch):
    """The methods whose index is built from here on."""
    built = []
    monkeypatch.setattr(photo_index, "build", lambda codes, method: built.append(method) or build(codes, method))
    return built


def test_by_hand():
    codes = np.array([[0b1111], [0b0001], [0b0000], [0b0011], [0b1000]], np.uint8)
    distances, rows = exact(codes, np.array([[0b0000], [0b1111]], np.uint8), 3)
    assert distances.tolist() == [[0, 1, 1], [0, 2, 3]]
    assert rows.tolist() == [[2, 1, 4], [0, 3, 1]]


def test_multihash_by_hand():
    """Four parts of two bits. The query's are 11 11 00 00: with no bit flipped, no part of 00 00 11 11 is one of them."""
    codes = np.array([[0b1111], [0b0001], [0b0000], [0b0011], [0b1000]], np.uint8)
    index = build(codes, "multihash")
    assert (index.nhash, index.b) == (4, 2)
    distances, rows = approximate(index, np.array([[0b11110000]], np.uint8), 5, 0)
    assert rows.tolist() == [[2, 1, 4, 3, -1]]
    assert distances[0, :4].tolist() == [4, 5, 5, 6]


@pytest.mark.parametrize("bits", [8, 32, 40, 128])
def test_exact_equals_the_index_of_codes(bits, tmp_path):
    np.save(tmp_path / "codes.npy", draw(3000, bits))
    codes, queries = np.load(tmp_path / "codes.npy", mmap_mode="r"), draw(7, bits)
    for k in (1, 50, 4000):
        for ours, wanted in zip(exact(codes, queries, k), plain.search(plain.make_index(codes), queries, k), strict=True):
            assert np.array_equal(ours, wanted)


@pytest.mark.parametrize("method", NPROBE)
@pytest.mark.parametrize("n", [3, 5, 900])
def test_with_nothing_left_out_the_distances_are_the_exact_ones(method, n, tmp_path):
    """In memory and from the file; 900 codes have 22 lists, 3 and 5 codes have one."""
    codes, queries = draw(n), draw(7)
    path = index_file(tmp_path, codes, method)
    write_index(path, build(codes, method))
    for index in (build(codes, method), read_index(path, codes)):
        distances, rows = approximate(index, queries, 60, ALL)
        assert (distances == exact(codes, queries, 60)[0]).all()
        assert (distances == np.take_along_axis(plain.hamming(queries, codes), rows, 1)).all()
        assert all(len(set(row)) == len(row) for row in rows.tolist())


@pytest.mark.parametrize("method", NPROBE)
def test_looking_farther_finds_more(method):
    codes, queries = draw(900, 128), draw(7, 128)
    index, wanted = build(codes, method), exact(codes, queries, 300)[0]
    found = [int((approximate(index, queries, 300, nprobe)[0] <= wanted[:, -1:]).sum()) for nprobe in (1, 3, ALL)]
    assert found == sorted(found)
    assert found[0] < found[-1] == wanted.size


def test_the_lists_are_mapped(tmp_path):
    path = index_file(tmp_path, draw(900), "ivf")
    write_index(path, build(draw(900), "ivf"))
    assert isinstance(faiss.downcast_InvertedLists(read_index(path, draw(900)).invlists), faiss.OnDiskInvertedLists)


def test_rows_that_are_not_there_are_a_broken_file(tmp_path):
    """faiss does not look at the numbers that a file gives its codes."""
    codes = draw(900)
    index, path = build(codes, "ivf"), tmp_path / "ivf-0.faiss"
    index.reset()
    index.add_with_ids(codes, np.arange(900) + 1)
    write_index(path, index)
    with pytest.raises(StudyError, match=r"ivf-0\.faiss: is broken \(it finds rows that are not there\); remove it"):
        search_file(path, codes, codes[-1:], 3, ALL)


def test_lists_and_parts():
    assert [lists_of(n) for n in (1, 39, 80, 900, 10**7)] == [1, 1, 2, 22, 3162]
    assert [parts_of(n, 128) for n in (1, 2, 1000, 10**7)] == [(128, 1), (128, 1), (14, 9), (8, 16)]
    assert parts_of(10**7, 8) == (1, 8)


def test_no_code_no_query_and_more_asked_for_than_there_is(opened):
    none = np.empty((0, 4), np.uint8)
    for method in METHODS:
        nprobe = None if method == "flat" else ALL
        assert opened(none).search([], 3, method, nprobe) == [[]] * 5
        assert [len(hits) for hits in opened(draw(3), "three").search([], 5, method, nprobe)] == [3] * 5
    assert exact(draw(5), none, 3)[0].shape == (0, 3)


def test_what_a_method_does_not_find_is_no_hit(opened):
    """Codes whose every part is another than the first query's."""
    assert opened(~draw(5)[[0, 0, 0]]).search([], 3, "multihash", 0)[0] == []


def test_what_cannot_be_searched_is_said(opened):
    for search in (lambda queries: exact(draw(5), queries, 1), lambda queries: approximate(build(draw(5), "ivf"), queries, 1, 1)):
        with pytest.raises(StudyError, match="codes of 8 and 32 bits do not compare"):
            search(np.zeros((1, 1), np.uint8))
    with pytest.raises(StudyError, match="method flat compares every code: leave out nprobe"):
        opened(draw(5)).search([], 3, nprobe=2)
    with pytest.raises(StudyError, match="a part of the 1 codes is alike in all of them; name another method"):
        opened(draw(1)).search([], 3, "multihash")
    with pytest.raises(StudyError, match="method tree is unknown; known: flat, ivf, multihash"):
        opened(draw(5)).search([], 3, "tree")


@pytest.mark.parametrize("method", NPROBE)
def test_the_file_is_made_once_and_a_stale_one_never_read(method, opened, built, tmp_path):
    index = opened(draw(900))
    first = index.search([], 9, method)
    assert index.search([], 9, method) == first
    assert built == [method]
    (made,) = (tmp_path / "rows").iterdir()
    stale = opened(draw(901), "others").folder / "others" / made.name
    stale.write_bytes(made.read_bytes())
    hits = opened(draw(901), "others").search([], 9, method, ALL)[0]
    assert built == [method] * 2
    assert [hit.distance for hit in hits] == exact(draw(901), draw(5), 9)[0][0].tolist()
    assert not stale.exists()
    assert len(list((tmp_path / "others").iterdir())) == 1


@pytest.mark.parametrize("method", NPROBE)
def test_a_broken_file_is_named_in_a_line(method, opened):
    index = opened(draw(900))
    path = index_file(index.folder / "rows", draw(900), method)
    index.search([], 9, method)
    content = path.read_bytes()
    for broken in (b"", b"nonsense", content[:8], content[: len(content) // 2], content[:-1]):
        path.write_bytes(broken)
        with pytest.raises(StudyError, match=rf"{path.name}: is broken \(.+\); remove it, and") as caught:
            index.search([], 9, method)
        assert len(str(caught.value).splitlines()) == 1
    write_index(path, build(draw(899), method))
    with pytest.raises(StudyError, match=r"faiss: is not the index of the codes beside it; remove it"):
        index.search([], 9, method)


def test_no_file_is_made_while_another_process_writes_nor_for_rows_that_are_gone(opened, tmp_path):
    index = opened(draw(900))
    with locked(tmp_path / "lock"), pytest.raises(LockError, match="held by process"):
        index.search([], 9, "ivf")
    os.rmdir(tmp_path / "rows")
    with pytest.raises(StudyError, match="was brought up to date meanwhile; search again"):
        index.search([], 9, "ivf")


def test_the_command_knows_the_methods():
    assert command.METHODS == METHODS
