"""COLMAP's numbering, and its failures."""

import numpy as np
import pycolmap
import pytest

from bcdh_lib.reconstruction.colmap import ReconstructionError, colmap, pair_ids, photo_pairs


def test_pair_numbers_are_colmaps_own():
    pairs = np.array([[0, 1], [0, 2], [41, 1_000_000]])
    expected = [pycolmap.image_pair_to_pair_id(a + 1, b + 1) for a, b in pairs]
    assert pair_ids(pairs).tolist() == expected
    assert photo_pairs(pair_ids(pairs)).tolist() == pairs.tolist()


def test_a_failure_is_one_line(tmp_path):
    level = pycolmap.logging.minloglevel
    with pytest.raises(ReconstructionError, match=r"^COLMAP failed in reading a model: [^\n]+$"), colmap("reading a model"):
        pycolmap.Reconstruction(tmp_path / "none")
    assert pycolmap.logging.minloglevel == level
