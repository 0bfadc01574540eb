"""Verified matches -> 3D models, by COLMAP's incremental mapping."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pycolmap
from tqdm import tqdm

from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.reconstruction.colmap import colmap, share
from bcdh_lib.reconstruction.excerpts import copy_excerpt
from bcdh_lib.reconstruction.matches import components
from bcdh_lib.study import Study


class Component(NamedTuple):
    """Photos that verified matches connect."""

    photos: np.ndarray  # ids, int [n]
    pairs: np.ndarray  # the verified ones among them, photo ids, int [pairs, 2]
    folder: Path  # for its models


def build_models(study: Study, database: Path, matches: pd.DataFrame, folder: Path) -> list[Path]:
    """Map each connected component of the verified matches, run.threads components at a time, or on cluster.scheduler's workers.

    Mapping repeats exactly on one thread only, so the cores work on components side by side instead: each is mapped by
    itself, and what it gives depends neither on their order nor on the number of workers. A component's models appear in
    `folder` together, once all of them are finished; components that are there already are not mapped again.
    Returns the folders of the models in COLMAP's format, as many a component as COLMAP could not join, or none.
    """
    settings, threads, scheduler = study.params.reconstruction, study.params.run.threads, study.params.cluster.scheduler
    edges = matches.loc[matches.inliers >= settings.min_inliers, ["photo_id", "other_id"]].to_numpy()
    parts = [photos for photos in components(edges) if len(photos) >= settings.min_model_size]
    finished = {photos[0]: folder / f"{photos[0]:07d}" for photos in parts}
    missing = sorted((photos for photos in parts if not finished[photos[0]].exists()), key=len, reverse=True)

    folder.mkdir(parents=True, exist_ok=True)
    jobs = [Component(photos, edges[np.isin(edges[:, 0], photos)], finished[photos[0]]) for photos in missing]
    total, work = sum(map(len, parts)), partial(map_component, study, database)
    if scheduler:
        share(database)
    mapped = side_by_side(work, jobs, threads, scheduler)
    with tqdm(total=total, initial=total - sum(map(len, missing)), desc="models", unit="photo") as progress:
        for photos in mapped:
            progress.update(photos)
    return [model for place in finished.values() for model in sorted(place.iterdir(), key=lambda model: int(model.name))]


def map_component(study: Study, database: Path, component: Component) -> int:
    """Map one component into its folder, which appears whole or not at all. Returns the number of photos.

    Works in a folder of its own beside it: a worker that outlives a killed run must not meet its successor there.
    """
    photos, pairs, target = component
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
            own = copy_excerpt(database, Path(part, "database.db"), photos, pairs, leave=("descriptors", "matches"))
            pycolmap.incremental_mapping(own, study.photos / "images", models, options)
        if not target.exists():
            models.rename(target)
    return len(photos)
