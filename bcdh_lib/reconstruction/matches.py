"""Candidate pairs -> verified matches, in COLMAP's database."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from tqdm import tqdm

from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.reconstruction.database import MATCHES, add_excerpt, colmap, copy_excerpt, image_name, pair_ids, query
from bcdh_lib.study import Study

PAIRS_A_JOB = 256
"""Written in one transaction: a killed run loses at most these, times run.threads. They bound the memory of a process."""

WATERMARK = pycolmap.TwoViewGeometryConfiguration.WATERMARK.value


def verify_matches(study: Study, database: Path, candidates: np.ndarray) -> pd.DataFrame:
    """Match the features of each candidate pair and verify that one two-view geometry explains the matches.

    COLMAP's matcher does not repeat exactly on several threads of one process (once in about fifty runs on a busy machine), so
    run.threads processes work in parallel, each on one thread and an excerpt of the database.

    candidates: photo ids, int [pairs, 2], the smaller first. Pairs that the database already holds are not matched again.
    Returns the table `candidates`: photo_id, other_id, inliers. inliers is 0 if too few matches agree on a geometry, or if they
    lie where COLMAP expects a watermark: photos that share a date stamp need not show the same place.
    """
    verified = _read_inliers(database)
    missing = candidates[~np.isin(pair_ids(candidates), verified.index)]
    jobs = [missing[start : start + PAIRS_A_JOB] for start in range(0, len(missing), PAIRS_A_JOB)]
    with (
        tempfile.TemporaryDirectory(dir=database.parent, prefix="matching-") as folder,
        tqdm(total=len(candidates), initial=len(candidates) - len(missing), desc="matches", unit="pair") as progress,
    ):
        for matched, excerpt in side_by_side(partial(_match, study, database, Path(folder)), jobs, study.params.run.threads):
            add_excerpt(MATCHES, database, excerpt)
            excerpt.unlink()
            progress.update(matched)
    inliers = _read_inliers(database).loc[pair_ids(candidates)]
    return pd.DataFrame({"photo_id": candidates[:, 0], "other_id": candidates[:, 1], "inliers": inliers.to_numpy()})


def _match(study: Study, database: Path, folder: Path, pairs: np.ndarray) -> tuple[int, Path]:
    """Match the pairs in a database of their photos alone. Returns the number of pairs, and the database."""
    settings = study.params.reconstruction
    matching, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
    matching.num_threads = 1
    matching.use_gpu = False
    verification.min_num_inliers = min(settings.min_inliers, settings.min_link_inliers)
    verification.ransac.random_seed = study.params.run.seed
    listed = folder / f"{pair_ids(pairs)[0]}.txt"
    listed.write_text("\n".join(f"{image_name(a)} {image_name(b)}" for a, b in pairs))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = listed
    with colmap(f"matching {len(pairs)} pairs from {image_name(pairs[0, 0])} on"):
        excerpt = copy_excerpt(database, listed.with_suffix(".db"), np.unique(pairs))
        pycolmap.match_image_pairs(excerpt, matching, pairing, verification)
    return len(pairs), excerpt


def _read_inliers(database: Path) -> pd.Series:
    """Inliers of every pair in the database, by pair_id."""
    rows = query(database, f"SELECT pair_id, iif(config = {WATERMARK}, 0, rows) FROM two_view_geometries ORDER BY pair_id")
    pairs, inliers = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(inliers, index=pairs)
