"""Packing, Hamming distances and search: by hand, against unpacked bits and faiss, at the edges."""

import numpy as np
import pytest

from bcdh_lib.core.codes import distances, hamming, make_index, pack, search, unpack
from bcdh_lib.core.errors import StudyError


def test_pack_by_hand():
    outputs = np.array([[0.0, -1, 2, -0.5, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 3.0]])
    assert pack(outputs).tolist() == [[0b00000101, 0b10000000]]
    assert unpack(pack(outputs)).tolist() == [[1, -1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1]]


@pytest.mark.parametrize("bits", [8, 16, 24, 32, 40, 64, 128, 256])
def test_hamming_equals_counting_bits_and_faiss(bits):
    generator = np.random.default_rng(bits)
    queries, database = (pack(generator.normal(size=(n, bits))) for n in (7, 50))
    distances = hamming(queries, database)
    slow = (unpack(queries)[:, None] != unpack(database)[None]).sum(2)
    assert (distances == slow).all()
    assert distances.dtype == (np.uint8 if bits < 256 else np.uint16)
    found, rows = search(make_index(database), queries, 50)
    assert (found == np.take_along_axis(slow, rows, 1)).all()
    assert (rows == np.argsort(slow, axis=1, kind="stable")).all()


@pytest.mark.parametrize("bits", [248, 256])
def test_the_greatest_distance_fits(bits):
    codes = np.array([[0] * (bits // 8), [255] * (bits // 8)], dtype=np.uint8)
    assert hamming(codes, codes).tolist() == [[0, bits], [bits, 0]]


def test_degenerate():
    with pytest.raises(StudyError, match="multiple of 8"):
        pack(np.zeros((2, 7)))
    with pytest.raises(StudyError, match="not finite"):
        pack(np.full((1, 8), np.nan))
    with pytest.raises(StudyError, match="16 and 8 bits"):
        hamming(np.zeros((1, 2), np.uint8), np.zeros((1, 1), np.uint8))
    none = np.zeros((0, 2), dtype=np.uint8)
    assert hamming(none, none).shape == (0, 0)
    assert hamming(none, np.zeros((3, 2), np.uint8)).shape == (0, 3)
    distances, _ = search(make_index(np.zeros((2, 2), np.uint8)), np.zeros((1, 2), np.uint8), 5)
    assert distances.tolist() == [[0, 0]]


def test_distances_are_bits_of_codes_and_squares_of_vectors() -> None:
    codes = np.array([[0b1011], [0b0001]], dtype=np.uint8)
    assert distances(codes[:1], codes).tolist() == [[0, 2]]
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    assert np.allclose(distances(vectors[:1], vectors), [[0, 0.8]])
