"""The nearest codes: by hand, equal to a slow ranking, and the inverted lists' file."""

from functools import partial

import numpy as np
import pytest

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.search.nearest import asymmetric, build_ivf, read_ivf, search_asymmetric, search_flat, search_ivf, write_ivf


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


def test_asymmetric_distance_of_equal_outputs_is_the_hamming_distance(outputs):
    codes, query = pack(outputs), pack(outputs[:1])[0]
    found = asymmetric(codes, query, np.sign(outputs[0]))
    np.testing.assert_allclose(found, (unpack(codes) != unpack(query[None])).sum(1), rtol=1e-5)


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
