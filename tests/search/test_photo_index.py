"""Searching an index and its codes: by hand, equal to brute force, bad queries and broken indexes named; its page."""

import base64
import io
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.folder import path_from_table
from bcdh_lib.photos.photo_file import LeftOut
from bcdh_lib.search import photo_index
from bcdh_lib.search.contact_sheet import SIDE, contact_sheet, thumbnail
from bcdh_lib.search.index_update import update_index
from bcdh_lib.search.nearest import asymmetric, build_ivf, read_ivf, search_asymmetric, search_flat, search_ivf, write_ivf
from bcdh_lib.search.photo_index import Answer, Facts, Hit, PhotoIndex, open_index, publish


@pytest.fixture(scope="module")
def outputs():
    return np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)


def slow(distances, k):
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


def test_asymmetric_distance_by_hand():
    """Outputs 3, -1, 1, -1 and 4 x 0.5: weights by size, 8 bits in all; the own code is at 0, the opposite one at 8."""
    outputs = np.array([3, -1, 1, -1, 0.5, 0.5, 0.5, 0.5], np.float32)
    own = np.array([0b11110101], np.uint8)
    codes = np.array([[0b11110101], [0b00001010], [0b11110100], [0b11110111]], np.uint8)
    np.testing.assert_allclose(asymmetric(codes, own, outputs), [0, 8, 3, 1], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_searches_equal_slow_rankings(outputs, k):
    codes, queries = pack(outputs), np.random.default_rng(1).normal(size=(9, 16)).astype(np.float32)
    hamming = (unpack(pack(queries))[:, None] != unpack(codes)[None]).sum(2)
    weighted = (np.abs(queries).sum(1)[:, None] - queries @ unpack(codes).T) * 8 / np.abs(queries).sum(1)[:, None]
    for found, wanted in zip(search_flat(codes, pack(queries), k), slow(hamming, k), strict=True):
        assert (found == wanted).all()
    distances, _ = search_asymmetric(codes, queries, k, partial(search_flat, codes))
    np.testing.assert_allclose(distances, slow(weighted, k)[0], atol=1e-4)
    index = build_ivf(codes)
    assert (search_ivf(index, pack(queries), k, 10**6)[0] == slow(hamming, k)[0]).all()


def test_a_shortlist_of_few_is_what_is_sorted(outputs):
    codes, query = pack(outputs), outputs[:1]
    _, rows = search_asymmetric(codes, query, 10, partial(search_flat, codes), shortlist=5)
    assert sorted(rows[0]) == sorted(search_flat(codes, pack(query), 5)[1][0])


def test_ivf_that_finds_fewer_than_asked_says_so(outputs):
    codes = pack(outputs)
    distances, rows = search_asymmetric(codes, outputs[:2], 400, partial(search_ivf, build_ivf(codes), nprobe=1))
    assert rows[0, 0] == 0
    assert (rows[:, -1] == -1).all()
    assert np.isinf(distances[:, -1]).all()


def test_nothing_to_search_and_codes_that_do_not_compare(outputs):
    codes = pack(outputs)
    assert search_flat(codes[:0], codes[:3], 5)[1].shape == (3, 0)
    assert search_flat(codes, codes[:0], 5)[1].shape == (0, 5)
    assert search_asymmetric(codes, outputs[:0], 5, partial(search_flat, codes))[1].shape == (0, 5)
    for search in (partial(search_flat, codes), partial(search_ivf, build_ivf(codes))):
        with pytest.raises(StudyError, match="codes of 24 and 16 bits do not compare"):
            search(np.zeros((1, 3), np.uint8), 5)


def test_the_file_of_ivf(outputs, tmp_path):
    codes, path = pack(outputs), tmp_path / "ivf.faiss"
    write_ivf(path, build_ivf(codes))
    written, read = (search_ivf(index, codes[:9], 5, 2) for index in (build_ivf(codes), read_ivf(path, codes)))
    np.testing.assert_array_equal(read, written)
    with pytest.raises(StudyError, match=r"ivf\.faiss: is broken, or not of the codes"):
        read_ivf(path, codes[:-1])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StudyError, match=r"ivf\.faiss: is broken"):
        read_ivf(path, codes)
    with pytest.raises(OSError, match="below"):
        write_ivf(path / "below/ivf.faiss", build_ivf(codes))


COPY = "a\\n<b>&\"c'.png"
"""A second name of the photo 4.png, as the index's table has it."""


@pytest.fixture
def index(album, checkpoint, tmp_path, taken):
    """The index of the album in `index`."""
    (album / path_from_table(COPY)).write_bytes((album / "4.png").read_bytes())
    update_index(tmp_path / "index", album, checkpoint)
    return tmp_path / "index"


def test_a_photo_of_the_index_finds_itself_and_its_copy_first(index, album):
    hits = open_index(index).search([album / "4.png"], 3)[0].hits
    assert [(hit.distance, hit.path) for hit in hits[:2]] == [(0, f"{album}/4.png"), (0, f"{album}/{COPY}")]
    assert path_from_table(hits[1].path).read_bytes() == (album / "4.png").read_bytes()


def test_search_equals_brute_force(index, album, tmp_path, draw_photo):
    """Queries from anywhere, one twice, and more asked for than there are; by Hamming and by asymmetric distance."""
    draw_photo(tmp_path / "query.png", 77)
    queries = [tmp_path / "query.png", album / "inner/1.png", tmp_path / "query.png"]
    opened = open_index(index)
    outputs = np.array([one.values for one in opened.encode(queries)]) - opened.centre
    paths, differs = opened.photos()["path"], unpack(pack(outputs))[:, None] != unpack(opened.codes)[None]
    weights = np.abs(outputs) * 16 / np.abs(outputs).sum(1, keepdims=True)
    for hamming, distances in ((True, differs.sum(2)), (False, np.einsum("qnl,ql->qn", differs, weights))):
        order = np.argsort(distances, axis=1, kind="stable")
        for k in (1, 3, 100):
            for answer, wanted, row in zip(opened.search(queries, k, hamming=hamming), order[:, :k], distances, strict=True):
                np.testing.assert_allclose([hit.distance for hit in answer.hits], row[wanted], atol=1e-4)
                if hamming:
                    assert [hit.path for hit in answer.hits] == [f"{album}/{path}" for path in paths.iloc[wanted]]
        within = opened.search(queries[:1], 100, hamming=hamming, within=float(np.median(distances[0])) + 1e-3)[0].hits
        assert len(within) == (distances[0] <= np.median(distances[0]) + 1e-3).sum()
    assert opened.search(queries, 3, method="ivf")[1].hits[0].path == f"{album}/inner/1.png"
    with pytest.raises(StudyError, match="leave out --nprobe"):
        opened.search(queries, 3, nprobe=4)


def test_equal_photos_are_shown_once_with_their_number(index, album):
    opened = open_index(index)
    hits = opened.search([album / "4.png"], 2, distinct=-1)[0].hits
    assert (hits[0].path, hits[0].copies) == (f"{album}/4.png", 2)
    assert len(hits) == 2
    assert len({hit.path for hit in opened.search([album / "4.png"], 100, distinct=-1)[0].hits}) == 6
    (all_alike,) = opened.search([album / "4.png"], 5, distinct=16)[0].hits
    assert all_alike.copies == 7


def test_good_queries_are_answered_and_bad_ones_named(index, album, tmp_path):
    answers = open_index(index).search([album / "notes.jpg", album / "4.png", tmp_path / "gone.jpg", album], 2)
    assert [answer.fault and answer.fault.reason for answer in answers] == ["not an image", None, "unreadable", "not an image"]
    assert [len(answer.hits) for answer in answers] == [0, 2, 0, 0]
    assert open_index(index).search([tmp_path / "gone.jpg"])[0].hits == []


@pytest.fixture
def tied(params, tmp_path, monkeypatch):
    """An index of 3,000 codes of 8 bits with 4 different values, in several groups of rows."""
    monkeypatch.setattr(photo_index, "GROUP", 700)
    codes = np.random.default_rng(0).integers(0, 4, (3000, 1), np.uint8)
    photos = pd.DataFrame({"path": [f"{row:04}" for row in range(3000)], "size": 1, "mtime_ns": 1, "sha256": "x"})
    facts = Facts(model="", photos=params.photos.model_copy(update={"folder": "/p"}))
    (tmp_path / "index").mkdir()
    publish(tmp_path / "index", facts, photos, codes, np.zeros(8, np.float32), [])
    return tmp_path / "index", photos, codes


def test_rows_are_read_by_group(tied):
    folder, photos, codes = tied
    index = open_index(folder)
    assert index.at([2999, 0, 699, 700]) == {row: (f"{row:04}", "x") for row in (2999, 0, 699, 700)}
    assert index.photos().equals(photos)
    assert (index.codes == codes).all()


def test_rows_replaced_between_two_reads_are_found_and_an_open_index_stays(tied, monkeypatch):
    folder, photos, codes = tied
    opened, read = open_index(folder), Facts.model_validate_json

    def read_and_be_overtaken(content):
        facts = read(content)
        monkeypatch.setattr(Facts, "model_validate_json", read)
        publish(folder, opened.facts, photos[:3], codes[:3], opened.centre, [])
        return facts

    monkeypatch.setattr(Facts, "model_validate_json", read_and_be_overtaken)
    assert len(open_index(folder).photos()) == 3
    assert opened.at([2999]) == {2999: ("2999", "x")}


def test_a_broken_index_is_named(index, album):
    with pytest.raises(StudyError, match=r"album: is no index; make one with: bcdh index"):
        open_index(album)
    facts, rows = (index / "index.json").read_text(), index / open_index(index).facts.rows
    for content, said in (("{", "JSON"), (facts.replace('"centred_on": 7', '"centred_on": -7'), "centred_on"), ("{}", "model")):
        write_bytes(index / "index.json", content.encode())
        with pytest.raises(StudyError, match=rf"index\.json: .*{said}.*make a new index"):
            open_index(index)
    write_bytes(index / "index.json", facts.encode())
    np.save(rows / "codes.npy", np.zeros((2, 2), np.uint8))
    with pytest.raises(StudyError, match=r"cannot be read \(codes\.npy holds uint8 \(2, 2\) for 7 photos"):
        open_index(index)
    (rows / "codes.npy").unlink()
    with pytest.raises(StudyError, match="index: cannot be read"):
        open_index(index)


def test_a_table_broken_inside_is_named_when_it_is_read(index):
    """Its end, which describes its parts, is sound. Pages that are none; texts that are not Unicode; a missing value."""
    file = index / open_index(index).facts.rows / "photos.parquet"
    sound, table = file.read_bytes(), pq.read_table(file)
    column = pq.read_metadata(file).row_group(0).column(0)
    start = column.dictionary_page_offset
    contents = [sound[:start] + b"\xff" * column.total_compressed_size + sound[start + column.total_compressed_size :]]
    texts = pa.StringArray.from_buffers(7, pa.py_buffer(np.arange(8, dtype=np.int32)), pa.py_buffer(b"\xff" * 7))
    for changed in (table.set_column(0, "path", texts), table.set_column(3, "sha256", pa.array([None, *"bcdefg"]))):
        buffer = io.BytesIO()
        pq.write_table(changed, buffer)
        contents.append(buffer.getvalue())
    for content in contents:
        file.write_bytes(content)
        for read in (PhotoIndex.photos, lambda opened: opened.at([0])):
            with pytest.raises(StudyError, match=r"photos\.parquet cannot be read \(.*\); make a new") as caught:
                read(open_index(index))
            assert str(caught.value).isprintable()


def test_a_network_that_is_gone_cut_or_another_one_is_refused(index, album):
    for name, length in (("model.safetensors", None), ("model.safetensors", 0), ("model.safetensors", -9), ("model.json", -9)):
        before = (index / name).read_bytes()
        (index / name).unlink()
        if length is not None:
            (index / name).write_bytes(before[:length])
        with pytest.raises(StudyError, match=r"model\.safetensors: .*; make a new index"):
            open_index(index).search([album / "4.png"])
        (index / name).write_bytes(before)
    facts = (index / "index.json").read_text()
    write_bytes(index / "index.json", facts.replace(open_index(index).facts.model, "0" * 64).encode())
    with pytest.raises(StudyError, match="is not the network that made the codes"):
        open_index(index).search([album / "4.png"])


def tags_of(page):
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Tags().feed(page)
    return found


def test_the_page(index, album):
    index = open_index(index)
    answers = index.search([album / "4.png", album / "inner/1.png"], 3)
    (album / "inner/1.png").unlink()
    answers.append(Answer(album / "notes.jpg", [], LeftOut("notes.jpg", "not an image", "")))
    tags = tags_of(contact_sheet(index, answers))
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    links = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert links == {path_from_table(hit.path).as_uri() for answer in answers for hit in answer.hits}
    assert not [tag for tag, attributes in tags if tag in ("script", "link", "b>")]
    assert pictures[0]["alt"] == f"The query photo {album}/4.png"
    assert [picture for picture in pictures if picture["alt"].startswith(f"Place 2: {album}/{COPY}, at 0 of 16 bits")]
    found = sum(hit.path != f"{album}/inner/1.png" for answer in answers for hit in answer.hits)
    assert len(pictures) == 1 + found


def test_a_photo_gone_since_and_no_hit(index, album):
    index = open_index(index)
    page = contact_sheet(index, [Answer(album / "4.png", [Hit(3, f"{album}/nowhere.png", 2)])])
    assert "<b>3</b> bits, 2 equal photos" in page
    assert len([tag for tag, _ in tags_of(page) if tag == "img"]) == 1
    assert "Place" not in contact_sheet(index, [Answer(album / "4.png", [])])


def test_a_thumbnail_is_small_and_upright(params, tmp_path):
    prepare_process()
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "turned.jpg", exif=turned)
    with Image.open(io.BytesIO(base64.b64decode(thumbnail(tmp_path / "turned.jpg", params.photos)))) as small:
        assert small.size == (SIDE // 2, SIDE)
    (tmp_path / "text.jpg").write_text("text")
    assert thumbnail(tmp_path / "nowhere.jpg", params.photos) == thumbnail(tmp_path / "text.jpg", params.photos) == ""
