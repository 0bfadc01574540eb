"""Which pairs are verified: photos of one relief, and never photos that share a date stamp."""

import sqlite3
from contextlib import closing

import numpy as np
import pycolmap
from PIL import Image, ImageDraw, ImageFont

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.database import pair_ids, query
from bcdh_lib.reconstruction.features import extract_features
from bcdh_lib.reconstruction.matches import WATERMARK, verify_matches

from .conftest import STRAY, make_study
from .relief import photograph, relief


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
