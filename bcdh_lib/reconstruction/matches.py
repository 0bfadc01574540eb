"""Candidate pairs -> verified matches, in COLMAP's database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from tqdm import tqdm

from bcdh_lib.reconstruction.database import image_name, pair_ids, query, work_in_excerpts
from bcdh_lib.study import Study

PAIRS_A_JOB = 256  # these bound the memory of a process
WATERMARK = pycolmap.TwoViewGeometryConfiguration.WATERMARK.value


def verify_matches(study: Study, database: Path, candidates: np.ndarray) -> pd.DataFrame:
    """Match the features of each candidate pair and verify that one two-view geometry explains the matches.

    candidates: photo ids, int [pairs, 2], the smaller first. Pairs that the database already holds are not matched again.
    Returns the table `candidates`: photo_id, other_id, inliers. inliers is 0 if too few matches agree on a geometry, or if they
    lie where COLMAP expects a watermark: photos that share a date stamp need not show the same place.
    """
    verified = _read_inliers(database)
    missing = candidates[~np.isin(pair_ids(candidates), verified.index)]
    bar = tqdm(total=len(candidates), initial=len(candidates) - len(missing), desc="matches", unit="pair")
    work_in_excerpts(_match, study, database, missing, PAIRS_A_JOB, bar)
    inliers = _read_inliers(database).loc[pair_ids(candidates)]
    return pd.DataFrame({"photo_id": candidates[:, 0], "other_id": candidates[:, 1], "inliers": inliers.to_numpy()})


def _match(study: Study, excerpt: Path, pairs: np.ndarray) -> None:
    settings = study.params.reconstruction
    matching, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
    matching.num_threads = 1
    matching.use_gpu = False
    verification.min_num_inliers = min(settings.min_inliers, settings.min_link_inliers)
    verification.ransac.random_seed = study.params.run.seed
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = excerpt.with_suffix(".txt")
    excerpt.with_suffix(".txt").write_text("\n".join(f"{image_name(a)} {image_name(b)}" for a, b in pairs))
    pycolmap.match_image_pairs(excerpt, matching, pairing, verification)


def _read_inliers(database: Path) -> pd.Series:
    """Inliers of every pair in the database, by pair_id."""
    rows = query(database, f"SELECT pair_id, iif(config = {WATERMARK}, 0, rows) FROM two_view_geometries ORDER BY pair_id")
    pairs, inliers = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(inliers, index=pairs)
