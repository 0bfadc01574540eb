"""Connected components by hand, and what is verified in the tiny pile."""

import numpy as np

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.matches import components

from .conftest import STRAY


def test_components_by_hand():
    edges = np.array([[4, 9], [1, 7], [2, 9], [7, 8]])
    assert [part.tolist() for part in components(edges)] == [[1, 7, 8], [2, 4, 9]]


def test_no_edges():
    assert components(np.zeros((0, 2), np.int64)) == []


def test_only_photos_of_one_relief_are_verified(study):
    matches = read_table(study.reconstruction, "candidates")
    verified = matches[matches.inliers > 0]
    side = {photo: photo in (0, 1, 3, 4) for photo in range(11)}
    assert len(verified) == 12  # all six pairs of each
    assert all(side[a] == side[b] for a, b in zip(verified.photo_id, verified.other_id, strict=True))
    assert STRAY in matches[matches.inliers == 0].other_id.to_numpy()
