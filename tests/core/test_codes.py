"""Packing and distances of codes: by hand, against unpacked bits, at the edges."""

import numpy as np
import pytest

from bcdh_lib.core.codes import asymmetric_distances, centre_of, distances, hamming, pack, unpack
from bcdh_lib.core.errors import StudyError


def test_pack_by_hand():
    outputs = np.array([[0.0, -1, 2, -0.5, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 3.0]])
    assert pack(outputs).tolist() == [[0b00000101, 0b10000000]]
    assert unpack(pack(outputs)).tolist() == [[1, -1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1]]


@pytest.mark.parametrize("bits", [8, 16, 24, 32, 40, 64, 128, 248, 256])
def test_hamming_equals_counting_bits(bits):
    generator = np.random.default_rng(bits)
    queries, database = (pack(generator.normal(size=(n, bits))) for n in (7, 50))
    database[0] = ~queries[0]  # the greatest distance
    found = hamming(queries, database)
    assert (found == (unpack(queries)[:, None] != unpack(database)[None]).sum(2)).all()
    assert found[0, 0] == bits
    assert found.dtype == (np.uint8 if bits < 256 else np.uint16)


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


def test_distances_are_bits_of_codes_and_squares_of_vectors() -> None:
    codes = np.array([[0b1011], [0b0001]], dtype=np.uint8)
    assert distances(codes[:1], codes).tolist() == [[0, 2]]
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    assert np.allclose(distances(vectors[:1], vectors), [[0, 0.8]])


@pytest.mark.parametrize("bits", [8, 64, 128])
def test_asymmetric_distances_equal_a_slow_sum_tie_exactly_and_know_no_order(bits):
    random = np.random.default_rng(bits)
    outputs, database = random.normal(size=(5, bits)).astype(np.float32), pack(random.normal(size=(30, bits)))
    database = np.concatenate([database, database[:7]])
    found = asymmetric_distances(outputs, database)
    slow = [[np.abs(row)[(row >= 0) != (code > 0)].sum() for code in unpack(database)] for row in outputs]
    np.testing.assert_allclose(found, slow, atol=1e-5)
    assert (found[:, :7] == found[:, 30:]).all()
    order = random.permutation(37)
    assert (asymmetric_distances(outputs, database[order]) == found[:, order]).all()


def test_asymmetric_distances_of_codes_are_hamming_distances_and_of_zeros_zero():
    codes = pack(np.random.default_rng(0).normal(size=(9, 16)))
    assert (asymmetric_distances(unpack(codes), codes) == hamming(codes, codes)).all()
    assert not asymmetric_distances(np.zeros((1, 16)), codes).any()
    assert asymmetric_distances(np.zeros((0, 16)), codes).shape == (0, 9)
    with pytest.raises(StudyError, match="8 and codes of 16 bits"):
        asymmetric_distances(np.zeros((1, 8)), codes)


def test_the_centre_by_hand_separates_codes():
    outputs = np.zeros((3, 8), np.float32)
    outputs[:, 0] = 1, 2, 6
    assert centre_of(outputs).tolist() == [3, 0, 0, 0, 0, 0, 0, 0]
    one_sided = np.random.default_rng(0).normal(5, 1, (400, 16)).astype(np.float32)
    assert len(np.unique(pack(one_sided), axis=0)) == 1
    assert (np.abs(unpack(pack(one_sided - centre_of(one_sided))).mean(0)) < 0.2).all()
