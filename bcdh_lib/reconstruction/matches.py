"""Candidate pairs -> verified matches, in COLMAP's database."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from tqdm.auto import tqdm

from bcdh_lib.reconstruction.database import LARGEST_ID, image_name, pair_ids, query, work_in_excerpts
from bcdh_lib.study import Study

PAIRS_A_JOB = 256  # these bound the memory of a process
FEATURE_BITS = 24  # more than a photo has features
WATERMARK = pycolmap.TwoViewGeometryConfiguration.WATERMARK.value


def verify_matches(study: Study, database: Path, candidates: np.ndarray) -> pd.DataFrame:
    """Match the features of each candidate pair and verify that one two-view geometry explains the matches.

    candidates: photo ids, int [pairs, 2], the smaller first. Pairs that the database already holds are not matched again.
    Returns the table `candidates`: photo_id, other_id, inliers. inliers is 0 if too few matches agree on a geometry, or if they
    lie where COLMAP expects a watermark: photos that share a date stamp need not show the same place. Features that such a pair
    matches belong to a mark, so inliers on them do not count in other pairs either: agencies spread theirs over the whole photo.
    """
    known = np.array(query(database, "SELECT pair_id FROM two_view_geometries"), dtype=np.int64)
    missing = candidates[~np.isin(pair_ids(candidates), known)]
    bar = tqdm(total=len(candidates), initial=len(candidates) - len(missing), desc="matches", unit="pair")
    work_in_excerpts(_match, study, database, missing, PAIRS_A_JOB, bar)
    inliers = _count_inliers(database, pair_ids(candidates))
    return pd.DataFrame({"photo_id": candidates[:, 0], "other_id": candidates[:, 1], "inliers": inliers})


def _match(study: Study, excerpt: Path, pairs: np.ndarray) -> None:
    settings, listed = study.params.reconstruction, excerpt.with_suffix(".txt")
    least, ransac = min(settings.min_inliers, settings.min_link_inliers), {"random_seed": study.params.run.seed}
    listed.write_text("\n".join(f"{image_name(a)} {image_name(b)}" for a, b in pairs))
    matching = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
    pairing = pycolmap.ImportedPairingOptions(match_list_path=listed)
    verification = pycolmap.TwoViewGeometryOptions(min_num_inliers=least, ransac=ransac)
    pycolmap.match_image_pairs(excerpt, matching, pairing, verification)


def _count_inliers(database: Path, pairs: np.ndarray) -> np.ndarray:
    """Inliers of each pair, by pair_id, that no WATERMARK pair among them matches. int64 [n]."""
    rows = query(database, "SELECT pair_id, rows, config FROM two_view_geometries")
    table = pd.DataFrame(rows, columns=["pair", "inliers", "config"], dtype=np.int64).set_index("pair").loc[pairs]
    inliers, flagged = table.inliers.where(table.config != WATERMARK, 0), table.index[table.config == WATERMARK]
    marks = [_matched(pair, data) for pair, data in _geometries(database, flagged) if data]
    if marks:
        marked = np.unique(np.concatenate(marks))
        photos = np.unique(marked >> FEATURE_BITS)
        first, second = np.divmod(inliers.index.to_numpy(), LARGEST_ID)
        touched = inliers.index[(inliers > 0) & (np.isin(first, photos) | np.isin(second, photos))]
        for pair, data in _geometries(database, touched):
            inliers[pair] = (~np.isin(_matched(pair, data), marked)).all(axis=1).sum()
    return inliers.to_numpy()


def _geometries(database: Path, pairs: pd.Index) -> Iterator[tuple[int, bytes]]:
    """The inlier matches of pairs, by pair_id, as COLMAP writes them."""
    for start in range(0, len(pairs), PAIRS_A_JOB):
        listed = ",".join(map(str, pairs[start : start + PAIRS_A_JOB]))
        yield from query(database, f"SELECT pair_id, data FROM two_view_geometries WHERE pair_id IN ({listed})")


def _matched(pair: int, data: bytes) -> np.ndarray:
    """The features of both photos that a pair matches, a number for each in the collection, int64 [n, 2]."""
    images = np.array(divmod(pair, LARGEST_ID), dtype=np.int64)
    return np.frombuffer(data, np.uint32).reshape(-1, 2) + (images << FEATURE_BITS)
