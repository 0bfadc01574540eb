"""Distractors: by hand; equal to a database with their codes in it, ties and all; none, many, and those of another model."""

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.core.codes import hamming
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import Ties, average_precision, ties_of_distances
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.search import distractors as module
from bcdh_lib.search.distractors import codes_without, counted, open_distractors, with_distractors
from bcdh_lib.search.index_update import update_index
from bcdh_lib.search.photo_index import open_index


def test_by_hand():
    """Codes of 8 bits; a positive at 1 bit, a negative at 2, and distractors at 0, 1, 1 and 8."""
    query = np.zeros((1, 1), np.uint8)
    counts = counted(query, [np.array([[0], [1]], np.uint8), np.array([[128], [255]], np.uint8)])
    assert counts.tolist() == [[1, 2, 0, 0, 0, 0, 0, 0, 1]]
    ties = with_distractors(Ties(np.array([[0, 1, 1]]), np.array([[0, 1, 0]])), counts)
    assert ties.sizes.tolist() == [[1, 3, 1, 0, 0, 0, 0, 0, 1]]
    assert ties.hits.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert average_precision(ties, "rectangle").tolist() == [pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)]


@pytest.mark.parametrize("bits", [8, 24, 64])
def test_equals_a_database_with_the_codes_in_it(bits, monkeypatch):
    """Every figure that ties give, against distances to all codes at once; blocks that divide nothing evenly."""
    monkeypatch.setattr(module, "DISTANCES", 50)
    generator = np.random.default_rng(bits)
    queries, database, others = (generator.integers(0, 256, (n, bits // 8), np.uint8) for n in (7, 40, 300))
    positive, junk = generator.random((2, 7, 40)) < 0.2
    ties = ties_of_distances(hamming(queries, database), positive, junk)
    found = with_distractors(ties, counted(queries, np.array_split(others, 7)))
    filled = np.zeros((7, 300), bool)
    slow = ties_of_distances(
        hamming(queries, np.concatenate([database, others])), np.hstack([positive, filled]), np.hstack([junk, filled])
    )
    width = slow.sizes.shape[1]
    assert (found.sizes[:, :width] == slow.sizes).all()
    assert (found.hits[:, :width] == slow.hits).all()
    assert found.sizes[:, width:].sum() == 0
    for order in ("expected", "best", "worst"):
        for rule in ("trapezoid", "rectangle"):
            wanted = average_precision(slow, rule, order)
            np.testing.assert_allclose(average_precision(found, rule, order), wanted, rtol=1e-12)
            assert (average_precision(ties, rule, order) >= wanted - 1e-12)[~np.isnan(wanted)].all()


def test_none_and_no_query_and_another_length():
    queries = np.zeros((2, 2), np.uint8)
    assert counted(queries, []).sum() == 0
    assert counted(queries, [queries[:0]]).shape == (2, 17)
    assert counted(queries[:0], [queries]).shape == (0, 17)
    with pytest.raises(StudyError, match="16 and 8 bits"):
        counted(queries, [np.zeros((3, 1), np.uint8)])


@pytest.fixture
def index(album, checkpoint, tmp_path, taken):
    """The index of the album in `index`."""
    update_index(tmp_path / "index", album, checkpoint, recentre=False)
    return tmp_path / "index"


def test_the_benchmarks_own_photos_are_left_out(index, album, tmp_path):
    """Files of the benchmark: one renamed, one a link, one a query's. Equal pixels in another file do not count."""
    (tmp_path / "renamed.png").write_bytes((album / "2.png").read_bytes())
    (tmp_path / "link.png").symlink_to(album / "inner/3.png")
    with Image.open(album / "4.png") as image:
        image.save(tmp_path / "anew.bmp")
    photos = {name: tmp_path / name for name in ("renamed.png", "link.png", "anew.bmp")}
    benchmark = Benchmark("made_up", photos, [Query("a", "q", None, frozenset(), frozenset())], {"q": album / "0.png"})
    rows = open_index(index).rows
    kept = rows.photos()["path"].isin(["4.png", "inner/1.png", "inner/5.png"]).to_numpy()
    assert kept.sum() == 3
    assert (np.concatenate(list(codes_without(rows, benchmark))) == rows.codes[kept]).all()


def test_an_index_whose_codes_do_not_compare(index, album, tmp_path):
    model = open_index(index).facts.model
    assert len(open_distractors(index, model).rows.codes) == 6
    with pytest.raises(StudyError, match="index: its codes are those of another model"):
        open_distractors(index, "0" * 64)
    update_index(index, album, recentre=True)
    with pytest.raises(StudyError, match="index: is recentred"):
        open_distractors(index, model)
    with pytest.raises(StudyError, match="album: is no index"):
        open_distractors(album, model)
