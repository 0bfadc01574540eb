"""Candidate pairs -> verified matches, in COLMAP's database."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.reconstruction.colmap import colmap, image_name, pair_ids, query
from bcdh_lib.reconstruction.excerpts import MATCHES, copy_excerpt, take
from bcdh_lib.study import Study

BLOCK = 512  # pairs a job, which are written in one transaction: what a killed run may lose, times run.threads


def verify_matches(study: Study, database: Path, candidates: np.ndarray) -> pd.DataFrame:
    """Match the features of each candidate pair and keep those that one two-view geometry explains.

    COLMAP's matcher does not repeat exactly on several threads of one process (seen: other matches once in some fifty runs on
    a busy machine), so run.threads processes work side by side, each on one thread and an excerpt of the database.

    candidates: photo ids, int [pairs, 2], the smaller first. Pairs that the database already holds are left as they are.
    Returns the table `candidates`: photo_id, other_id, inliers (0 where too few matches agree on a geometry).
    """
    verified = _read_inliers(database)
    missing = candidates[~np.isin(pair_ids(candidates), verified.index)]
    blocks = [missing[start : start + BLOCK] for start in range(0, len(missing), BLOCK)]
    with (
        tempfile.TemporaryDirectory(dir=database.parent, prefix="matching-") as folder,
        tqdm(total=len(candidates), initial=len(candidates) - len(missing), desc="matches", unit="pair") as progress,
    ):
        for matched, excerpt in side_by_side(partial(_match, study, database, Path(folder)), blocks, study.params.run.threads):
            take(MATCHES, database, excerpt)
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
    rows = query(database, "SELECT pair_id, rows FROM two_view_geometries ORDER BY pair_id")
    pairs, inliers = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(inliers, index=pairs)


def graph_of(edges: np.ndarray) -> tuple[np.ndarray, coo_array]:
    """The photos with an edge, by id, and the graph over them: 1 at each edge, one way. edges: photo ids, int [n, 2]."""
    photos, ends = np.unique(edges, return_inverse=True)
    first, second = ends.reshape(-1, 2).T
    return photos, coo_array((np.ones(len(edges)), (first, second)), shape=(len(photos), len(photos)))


def components(edges: np.ndarray) -> list[np.ndarray]:
    """The connected components of a graph of photos. edges: photo ids, int [n, 2].

    Returns the photo ids of each, sorted, the component with the smallest id first; photos without an edge are in none.
    """
    photos, graph = graph_of(edges)
    label = connected_components(graph, directed=False)[1]
    return sorted((photos[label == each] for each in range(label.max(initial=-1) + 1)), key=lambda part: part[0])
