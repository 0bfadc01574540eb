"""Which pairs are tried and verified: by hand, against slow searches, on tiny photos, and if photos share a date stamp."""

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
from bcdh_lib.reconstruction.matches import WATERMARK, verify_matches

from .conftest import STRAY, make_study
from .relief import photograph, relief


@pytest.fixture(scope="module")
def database(finished):
    return finished / "database.db"


def test_nearest_by_hand():
    vectors = [sparse.csr_array(np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 0.0]]))]
    # 0 is nearest to 1 (.8), 1 to 2 (.96), 2 to 1; the zero vector has nothing in common with any.
    assert nearest(vectors, 1).tolist() == [[0, 1, 0], [1, 2, 0], [2, 1, 0]]
    assert nearest(vectors, 5).tolist() == [[0, 1, 0], [0, 2, 1], [1, 2, 0], [1, 0, 1], [2, 1, 0], [2, 0, 1]]
    equal = sparse.csr_array(np.ones((1, 1)))  # ties go to the smaller row
    assert nearest([equal] * 4, 1).tolist() == [[0, 1, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]
    assert nearest([], 1).shape == (0, 3)


def matched(pairs, inliers):
    """The table `candidates`."""
    return pd.DataFrame({"photo_id": pairs[:, 0], "other_id": pairs[:, 1], "inliers": inliers})


def test_complete_by_hand():
    """3 and 7 both match 5, so 3-7 is tried; 9 did not match 3, and is connected with nothing."""
    matches = matched(np.array([[3, 5], [3, 9], [5, 7]]), [20, 0, 15])
    assert complete(matches, 15).tolist() == [[3, 5], [3, 7], [3, 9], [5, 7]]
    assert complete(matches, 16).tolist() == [[3, 5], [3, 9], [5, 7]]
    assert complete(matches[:0], 15).tolist() == []


def test_complete_equals_a_loop():
    generator = np.random.default_rng(0)
    pairs = np.unique(np.sort(generator.choice(30, (40, 2)) + 100, axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    matches = matched(pairs, generator.integers(0, 30, len(pairs)))
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
        return matched(pairs, [inliers.get(tuple(pair), 0) for pair in pairs.tolist()])

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


def test_words_find_the_photos_of_one_relief(study, database, tmp_path, photos):
    few = make_study(tmp_path, photos, neighbours=3, far_neighbours=0)
    proposals = propose_candidates(few, database, [0, 1, 3, 4, 5, 6, 7, STRAY, 10])
    proposed = set(map(tuple, np.sort(proposals[:, :2], axis=1).tolist()))
    for seen in ([0, 1, 3, 4], [5, 6, 7, 10]):
        assert {(a, b) for a in seen for b in seen if a < b} <= proposed
    assert len(proposed) < 36  # all pairs of nine photos


def test_exhaustive_proposes_all_pairs(tmp_path, photos, database):
    study = make_study(tmp_path, photos, candidates="exhaustive")
    assert propose_candidates(study, database, [3, 5, 8]).tolist() == [[3, 5, 0], [3, 8, 0], [5, 8, 0]]


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
