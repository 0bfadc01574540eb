"""Verified matches -> 3D models, by COLMAP's incremental mapping."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from joblib import Parallel, delayed
from tqdm import tqdm

from bcdh_lib.reconstruction.colmap import colmap, image_id, pair_ids
from bcdh_lib.reconstruction.matches import components
from bcdh_lib.study import Study

# What mapping needs of COLMAP's tables: the column to choose rows by, and among what (a photo has one number in all).
COMPONENT = {
    "cameras": ("camera_id", "own_photos"),
    "rigs": ("rig_id", "own_photos"),
    "frames": ("frame_id", "own_photos"),
    "frame_data": ("frame_id", "own_photos"),
    "images": ("image_id", "own_photos"),
    "keypoints": ("image_id", "own_photos"),
    "two_view_geometries": ("pair_id", "own_pairs"),
}


def build_models(study: Study, database: Path, matches: pd.DataFrame, folder: Path) -> list[Path]:
    """Map each connected component of the verified matches, run.threads components at a time.

    Mapping repeats exactly on one thread only, so the cores work on components side by side instead: each is mapped by
    itself, and what it gives depends neither on their order nor on the number of workers. A component's models appear in
    `folder` together, once all of them are finished; components that are there already are not mapped again.
    Returns the folders of the models in COLMAP's format, as many a component as COLMAP could not join, or none.
    """
    settings, threads = study.params.reconstruction, study.params.run.threads
    edges = matches.loc[matches.inliers >= settings.min_inliers, ["photo_id", "other_id"]].to_numpy()
    parts = [photos for photos in components(edges) if len(photos) >= settings.min_model_size]
    finished = {photos[0]: folder / f"{photos[0]:07d}" for photos in parts}
    missing = sorted((photos for photos in parts if not finished[photos[0]].exists()), key=len, reverse=True)

    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        delayed(map_component)(study, database, photos, edges[np.isin(edges[:, 0], photos)], finished[photos[0]])
        for photos in missing
    ]
    total = sum(map(len, parts))
    with tqdm(total=total, initial=total - sum(map(len, missing)), desc="models", unit="photo") as progress:
        for photos in Parallel(n_jobs=threads, return_as="generator_unordered")(jobs):
            progress.update(photos)
    return [model for place in finished.values() for model in sorted(place.iterdir(), key=lambda model: int(model.name))]


def map_component(study: Study, database: Path, photos: np.ndarray, pairs: np.ndarray, target: Path) -> int:
    """Map the photos of one component into the folder `target`, which appears whole or not at all.

    photos: ids, int [n]; pairs: the verified ones among them, int [pairs, 2]. Returns the number of photos.
    Works in a folder of its own beside `target`: a worker that outlives a killed run must not meet its successor there.
    """
    settings = study.params.reconstruction
    options = pycolmap.IncrementalPipelineOptions()
    options.min_num_matches = settings.min_inliers
    options.min_model_size = settings.min_model_size
    options.mapper.init_min_num_inliers = settings.min_start_inliers
    options.mapper.abs_pose_min_num_inliers = settings.min_pose_inliers
    options.num_threads = options.mapper.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = study.params.run.seed
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="unfinished-") as part:
        models = Path(part, "models")
        models.mkdir()
        with colmap(f"mapping the {len(photos)} photos connected with photo {photos[0]}"):
            own = copy_component(database, Path(part, "database.db"), photos, pairs)
            pycolmap.incremental_mapping(own, study.photos / "images", models, options)
        if not target.exists():
            models.rename(target)
    return len(photos)


def copy_component(database: Path, target: Path, photos: np.ndarray, pairs: np.ndarray) -> Path:
    """A COLMAP database of these photos and verified pairs alone: mapping reads all that its database holds."""
    pycolmap.Database.open(target).close()
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("ATTACH ? AS whole", (str(database),))
        for wanted, ids in (("own_photos", image_id(photos)), ("own_pairs", pair_ids(pairs))):
            connection.execute(f"CREATE TEMP TABLE {wanted} (id INTEGER PRIMARY KEY)")
            connection.executemany(f"INSERT INTO {wanted} VALUES (?)", ids[:, None].tolist())
        for table, (key, wanted) in COMPONENT.items():
            connection.execute(f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE {key} IN {wanted}")
    return target
