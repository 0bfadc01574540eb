"""The graph of matches: components by hand; models split at bridges, good models kept whole; groups of linked models."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse

from bcdh_lib.reconstruction.graph import components, group_models, split_at_bridges


def test_components_by_hand():
    edges = np.array([[4, 9], [1, 7], [2, 9], [7, 8]])
    assert [part.tolist() for part in components(edges)] == [[1, 7, 8], [2, 4, 9]]
    assert list(components(edges[:0])) == []


def landmark(random, photos: int, points: int) -> np.ndarray:
    """Photos that each see half of a landmark's points."""
    return (random.random((photos, points)) < 0.5).astype(float)


def fused(random, false_points: int = 30) -> np.ndarray:
    """Two landmarks of eight photos; two photos of each see the same false points."""
    sees = np.zeros((16, 300 + false_points))
    sees[:8, :150], sees[8:, 150:300] = landmark(random, 8, 150), landmark(random, 8, 150)
    sees[6:10, 300:] = 1
    return sees


def similar_pairs(sees: np.ndarray, rows: np.ndarray) -> set[tuple[int, int]]:
    shared = sees[rows] @ sees[rows].T
    share = shared / np.diag(shared)[:, None]
    return {(rows[a], rows[b]) for a, b in zip(*np.nonzero(share > 0.2), strict=True) if a != b}


def test_a_fused_model_is_split_and_its_pairs_get_precise():
    sees = fused(np.random.default_rng(0))
    whole = similar_pairs(sees, np.arange(16))
    false = {(a, b) for a, b in whole if (a < 8) != (b < 8)}
    assert len(false) == 8
    parts = split_at_bridges(sparse.csr_array(sees), max_bridge=0.05, min_size=3)
    assert [part.tolist() for part in parts] == [list(range(8)), list(range(8, 16))]
    assert set().union(*(similar_pairs(sees, part) for part in parts)) == whole - false


@pytest.mark.parametrize("kind", ["dense", "walk", "ring"])
def test_a_good_model_stays_whole(kind):
    random = np.random.default_rng(2)
    sees = landmark(random, 20, 200)
    if kind != "dense":  # a camera that moves along, or around: each photo sees a window of the points
        place = np.arange(200) - 10 * np.arange(20)[:, None]
        sees = (np.minimum(place % 200, -place % 200) if kind == "ring" else abs(place)) < 20
    parts = split_at_bridges(sparse.csr_array(sees.astype(float)), 0.05, 3)
    assert [part.tolist() for part in parts] == [list(range(20))]


def test_no_part_is_smaller_than_min_size_and_zero_splits_nothing():
    sees = sparse.csr_array(fused(np.random.default_rng(0)))
    assert len(split_at_bridges(sees, 0.05, 9)) == 1
    assert len(split_at_bridges(sees, 0.0, 3)) == 1


def test_the_cut_is_the_least_along_the_order():
    """The running sums equal the normalised cut counted edge by edge."""
    random = np.random.default_rng(3)
    sees = fused(random, 200)
    joins = (sees @ sees.T) / np.sqrt(np.outer(sees.sum(1), sees.sum(1)))
    np.fill_diagonal(joins, 0)
    across = joins[:8, 8:].sum() / min(joins[:8].sum(), joins[8:].sum())
    assert len(split_at_bridges(sparse.csr_array(sees), across * 1.001, 3)) > 1
    assert len(split_at_bridges(sparse.csr_array(sees), across * 0.999, 3)) == 1


def test_models_without_photos_or_with_one():
    assert [part.tolist() for part in split_at_bridges(sparse.csr_array((0, 0)), 0.05, 3)] == []
    assert [part.tolist() for part in split_at_bridges(sparse.csr_array(np.ones((1, 4))), 0.05, 3)] == [[0]]


MODEL_OF = pd.Series([0, 0, 1, 1, 2, 3], index=[1, 2, 3, 4, 5, 6])


def matched(*rows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["photo_id", "other_id", "inliers"])


def test_groups_by_hand():
    # 2 - 3 links models 0 and 1; 5 - 8 - 6 links 2 and 3 through photo 8, in no model; 4 - 5 is too weak; 9 - 10 links none.
    matches = matched((2, 3, 15), (5, 8, 20), (6, 8, 20), (4, 5, 14), (9, 10, 99))
    groups, linked = group_models(MODEL_OF, matches, 15)
    assert groups.to_dict() == {0: 0, 1: 0, 2: 1, 3: 1}
    assert linked.tolist() == [8]
    assert group_models(MODEL_OF, matches, 14)[0].to_dict() == {0: 0, 1: 0, 2: 0, 3: 0}


def test_no_matches_no_models():
    groups, linked = group_models(MODEL_OF, matched(), 15)
    assert groups.to_dict() == {0: 0, 1: 1, 2: 2, 3: 3}
    assert linked.tolist() == []
    assert [len(each) for each in group_models(MODEL_OF[:0], matched((1, 2, 30)), 15)] == [0, 0]
