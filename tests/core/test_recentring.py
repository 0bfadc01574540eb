"""Recentring: by hand; every bit cuts the photos near their middle; one photo; broken outputs."""

import numpy as np
import pytest

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.recentring import centre_of, pack_around


def test_by_hand():
    outputs = np.zeros((3, 8), np.float32)
    outputs[:, 0] = 1, 2, 6
    assert centre_of([outputs]).tolist() == [3, 0, 0, 0, 0, 0, 0, 0]
    assert pack_around(outputs, centre_of([outputs]))[:, 0].tolist() == [0b11111110, 0b11111110, 0b11111111]


def test_codes_on_one_side_come_apart_and_a_centre_of_zero_changes_nothing():
    outputs = np.random.default_rng(0).normal(5, 1, (400, 16)).astype(np.float32)
    assert len(np.unique(pack(outputs), axis=0)) == 1
    recentred = unpack(pack_around(outputs, centre_of([outputs])))
    assert (np.abs(recentred.mean(0)) < 0.2).all()
    slow = np.array(
        [[1 if value >= middle else -1 for value, middle in zip(row, outputs.mean(0), strict=True)] for row in outputs]
    )
    assert (recentred != slow).mean() < 1e-3  # the middle is rounded otherwise
    around = outputs - 5
    assert (pack_around(around, np.zeros(16, np.float32)) == pack(around)).all()


def test_degenerate():
    one = np.full((1, 8), 0.3, np.float32)
    assert pack_around(one, centre_of([one])).tolist() == [[255]]
    with pytest.raises(StudyError, match="not finite"):
        pack_around(np.full((2, 8), np.inf, np.float32), np.zeros(8, np.float32))
