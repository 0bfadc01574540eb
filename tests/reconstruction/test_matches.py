"""Which pairs are tried and verified; components, bridges and groups: by hand, against slow searches, on tiny photos."""

import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pycolmap
import pytest
import scipy.sparse as sparse
from PIL import Image, ImageDraw, ImageFont

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.candidates import complete, nearest, propose_candidates, search_matches
from bcdh_lib.reconstruction.database import pair_ids, query
from bcdh_lib.reconstruction.features import extract_features
from bcdh_lib.reconstruction.graph import components, group_models, split_at_bridges
from bcdh_lib.reconstruction.matches import WATERMARK, verify_matches

from .conftest import STRAY, make_study
from .relief import photograph, relief


def test_nearest_by_hand():
    vectors = [sparse.csr_array(np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 0.0]]))]
    # 0 is nearest to 1 (.8), 1 to 2 (.96), 2 to 1; the zero vector has nothing in common with any.
    assert nearest(vectors, 1).tolist() == [[0, 1, 0], [1, 2, 0], [2, 1, 0]]
    assert nearest(vectors, 5).tolist() == [[0, 1, 0], [0, 2, 1], [1, 2, 0], [1, 0, 1], [2, 1, 0], [2, 0, 1]]
    equal = sparse.csr_array(np.ones((1, 1)))  # ties go to the smaller row
    assert nearest([equal] * 4, 1).tolist() == [[0, 1, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]
    assert nearest([], 1).shape == (0, 3)


def matched(*rows):
    """The table `candidates`."""
    return pd.DataFrame(rows, columns=["photo_id", "other_id", "inliers"], dtype=np.int64)


def test_complete_by_hand():
    """3 and 7 both match 5, so 3-7 is tried; 9 did not match 3, and is connected with nothing."""
    matches = matched((3, 5, 20), (3, 9, 0), (5, 7, 15))
    assert complete(matches, 15).tolist() == [[3, 5], [3, 7], [3, 9], [5, 7]]
    assert complete(matches, 16).tolist() == [[3, 5], [3, 9], [5, 7]]
    assert complete(matches[:0], 15).tolist() == []


def test_complete_equals_a_loop():
    generator = np.random.default_rng(0)
    pairs = np.unique(np.sort(generator.choice(30, (40, 2)) + 100, axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    matches = matched(*np.column_stack([pairs, generator.integers(0, 30, len(pairs))]))
    linked = {frozenset(pair) for pair, inliers in zip(pairs.tolist(), matches.inliers, strict=True) if inliers >= 15}
    expected = {tuple(pair) for pair in pairs.tolist()}
    for one in range(100, 130):
        for other in range(one + 1, 130):
            if any({frozenset((one, third)), frozenset((third, other))} <= linked for third in range(100, 130)):
                expected.add((one, other))
    assert complete(matches, 15).tolist() == sorted(map(list, expected))


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_nearest_equals_a_slow_search(at_once, monkeypatch):
    monkeypatch.setattr("bcdh_lib.reconstruction.candidates.BLOCKS_AT_ONCE", at_once)
    vectors = np.random.default_rng(0).random((20, 6))
    slow = []
    for row in range(20):
        others = sorted((-vectors[row] @ vectors[other], other) for other in range(20) if other != row)
        slow += [[row, other, place] for place, (_, other) in enumerate(others[:3])]
    assert nearest([sparse.csr_array(block) for block in np.split(vectors, [7, 8, 15])], 3).tolist() == slow


def search(study, ranked, inliers, **settings):
    """The rounds of pairs that a search tries, and the table it returns. ranked: a photo's nearest ones; inliers: by pair."""
    settings |= {"neighbours": 1, "min_inliers": 15, "min_model_size": 3}
    proposals = np.array([[photo, other, rank] for photo, others in ranked.items() for rank, other in enumerate(others)])
    rounds = []

    def verify(pairs):
        rounds.append(pairs.tolist())
        return matched(*((a, b, inliers.get((a, b), 0)) for a, b in pairs.tolist()))

    return rounds, search_matches(proposals.reshape(-1, 3), study.params.reconstruction.model_copy(update=settings), verify)


RANKED = {1: [2, 3, 4], 2: [3, 9, 4], 3: [2, 1, 9], 4: [9, 1, 3], 9: [4, 3, 2]}


def test_search_by_hand(study):
    """1, 2 and 3 are connected by their nearest; 4 is not and finds 1 next, which brings it to 2; 9 finds nothing."""
    rounds, found = search(study, RANKED, {(1, 2): 20, (2, 3): 30, (1, 4): 15, (3, 4): 14}, far_neighbours=3)
    near, second, third, last = rounds
    assert near == [[1, 2], [2, 3], [4, 9]]
    assert second == [*near[:1], [1, 4], [2, 3], [3, 9], [4, 9]]
    assert third == [[1, 2], [1, 4], [2, 3], [2, 9], [3, 9], [4, 9]]  # 4 is connected now: only 9 goes on
    assert last == [[1, 2], [1, 3], [1, 4], [2, 3], [2, 4], [2, 9], [3, 9], [4, 9]] == found.iloc[:, :2].to_numpy().tolist()


def test_search_stops_if_a_round_verifies_nothing(study):
    rounds, _ = search(study, RANKED, {(1, 2): 20, (2, 3): 30}, far_neighbours=3)
    assert [2, 9] not in rounds[-1]  # the third nearest of 9 is never tried
    assert len(rounds) == 3


def test_search_of_nothing_and_without_far_neighbours(study):
    assert search(study, {}, {}, far_neighbours=3)[1].empty
    rounds, _ = search(study, RANKED, {}, far_neighbours=0)
    assert rounds[0] == rounds[-1] == [[1, 2], [2, 3], [4, 9]]


def test_words_find_the_photos_of_one_relief(finished, tmp_path, photos):
    few = make_study(tmp_path, photos, neighbours=3, far_neighbours=0)
    proposals = propose_candidates(few, finished / "database.db", [0, 1, 3, 4, 5, 6, 7, STRAY, 10])
    proposed = set(map(tuple, np.sort(proposals[:, :2], axis=1).tolist()))
    for seen in ([0, 1, 3, 4], [5, 6, 7, 10]):
        assert {(a, b) for a in seen for b in seen if a < b} <= proposed
    assert len(proposed) < 36  # all pairs of nine photos


def test_exhaustive_proposes_all_pairs(finished, tmp_path, photos):
    study = make_study(tmp_path, photos, candidates="exhaustive")
    assert propose_candidates(study, finished / "database.db", [3, 5, 8]).tolist() == [[3, 5, 0], [3, 8, 0], [5, 8, 0]]


def test_only_photos_of_one_relief_are_verified(study):
    matches = read_table(study.reconstruction, "candidates")
    verified = matches[matches.inliers > 0]
    side = {photo: photo in (0, 1, 3, 4) for photo in range(11)}
    assert len(verified) == 12  # all six pairs of each
    assert all(side[a] == side[b] for a, b in zip(verified.photo_id, verified.other_id, strict=True))
    assert STRAY in matches[matches.inliers == 0].other_id.to_numpy()


def stamped(photo: Image.Image) -> Image.Image:
    font, text = ImageFont.load_default(14), "2024-05-17 18:32:45 SHOT ON QUAD CAMERA #7"
    ImageDraw.Draw(photo).text((6, 218), text, fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0))
    return photo


def test_a_shared_date_stamp_is_no_match(tmp_path):
    """COLMAP finds inliers in the stamp and flags them; they do not count, so the two reliefs stay two groups."""
    study = make_study(tmp_path, [stamped(photograph(relief(seed), 0.0)) for seed in (1, 2)], max_features=2048)
    database = tmp_path / "database.db"
    extract_features(study, database, [0, 1])
    matches = verify_matches(study, database, np.array([[0, 1]]))
    ((config, inliers),) = query(database, "SELECT config, rows FROM two_view_geometries")
    assert config == WATERMARK
    assert inliers >= study.params.reconstruction.min_link_inliers
    assert matches.inliers.tolist() == [0]


def test_features_of_a_mark_do_not_count_in_other_pairs(study, tmp_path):
    """0 and 1 share a mark, features 1 and 2 of both: they are no inliers of 0 and 2 either. 2 and 3 have none of it."""
    database = tmp_path / "database.db"
    pycolmap.Database.open(database).close()
    same = np.repeat(np.arange(20, dtype=np.uint32)[:, None], 2, axis=1)
    geometries = {(0, 1): (same[1:3], WATERMARK), (0, 2): (same, 3), (1, 2): (same[2:], 6), (2, 3): (same, 3)}
    pairs = np.array(list(geometries))
    with closing(sqlite3.connect(database)) as connection, connection:
        for pair_id, (matched, config) in zip(pair_ids(pairs).tolist(), geometries.values(), strict=True):
            row = (pair_id, len(matched), 2, matched.tobytes(), config)
            connection.execute("INSERT INTO two_view_geometries (pair_id, rows, cols, data, config) VALUES (?, ?, ?, ?, ?)", row)
    assert verify_matches(study, database, pairs).inliers.tolist() == [0, 18, 17, 20]
    assert verify_matches(study, database, pairs[1:]).inliers.tolist() == [20, 18, 20]  # no mark is known among these
    assert verify_matches(study, database, pairs[:0]).empty


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


def test_nothing_is_split_below_min_size_at_zero_or_of_one_photo():
    sees = sparse.csr_array(fused(np.random.default_rng(0)))
    assert len(split_at_bridges(sees, 0.05, 9)) == 1
    assert len(split_at_bridges(sees, 0.0, 3)) == 1
    assert [part.tolist() for part in split_at_bridges(sparse.csr_array((0, 0)), 0.05, 3)] == []
    assert [part.tolist() for part in split_at_bridges(sparse.csr_array(np.ones((1, 4))), 0.05, 3)] == [[0]]


def test_the_cut_is_the_least_along_the_order():
    """The running sums equal the normalised cut counted edge by edge."""
    random = np.random.default_rng(3)
    sees = fused(random, 200)
    joins = (sees @ sees.T) / np.sqrt(np.outer(sees.sum(1), sees.sum(1)))
    np.fill_diagonal(joins, 0)
    across = joins[:8, 8:].sum() / min(joins[:8].sum(), joins[8:].sum())
    assert len(split_at_bridges(sparse.csr_array(sees), across * 1.001, 3)) > 1
    assert len(split_at_bridges(sparse.csr_array(sees), across * 0.999, 3)) == 1


MODEL_OF = pd.Series([0, 0, 1, 1, 2, 3], index=[1, 2, 3, 4, 5, 6])


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
