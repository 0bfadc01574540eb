"""Verified matches -> 3D models, by COLMAP's incremental mapping; models on disk."""

import hashlib
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pycolmap
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.reconstruction.database import colmap, copy_excerpt, share
from bcdh_lib.reconstruction.graph import components, verified_pairs
from bcdh_lib.study import Study

SUMS = "SHA256SUMS"  # the file of checksums next to a model's .bin files, in the form of the command sha256sum


class Component(NamedTuple):
    """Photos that verified matches connect."""

    photos: np.ndarray  # ids, int [n]
    pairs: np.ndarray  # the verified pairs among them, photo ids, int [pairs, 2]
    folder: Path  # for its models


def build_models(study: Study, database: Path, matches: pd.DataFrame, folder: Path) -> list[Path]:
    """Map each connected component of the verified matches, in run.threads processes or on the workers of cluster.scheduler.

    Mapping repeats exactly on one thread only, so each component is mapped by one process. Its models depend neither on the
    order of the components nor on the number of workers. They appear in `folder` together once all of them are finished;
    components whose models are there already are not mapped again.
    Returns the folders of the models in COLMAP's format. A component can have several models, or none.
    """
    settings, scheduler = study.params.reconstruction, study.params.cluster.scheduler
    edges = verified_pairs(matches, settings.min_inliers)
    parts = [photos for photos in components(edges) if len(photos) >= settings.min_model_size]
    finished = {photos[0]: folder / f"{photos[0]:07d}" for photos in parts}
    missing = sorted((photos for photos in parts if not finished[photos[0]].exists()), key=len, reverse=True)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [Component(photos, edges[np.isin(edges[:, 0], photos)], finished[photos[0]]) for photos in missing]
    if scheduler:
        share(database)
    total, mapping = sum(map(len, parts)), partial(map_component, study, database)
    with tqdm(total=total, initial=total - sum(map(len, missing)), desc="models", unit="photo") as progress:
        for photos in side_by_side(mapping, jobs, study.params.run.threads, scheduler):
            progress.update(photos)
    return [model for place in finished.values() for model in sorted(place.iterdir(), key=lambda model: int(model.name))]


def map_component(study: Study, database: Path, component: Component) -> int:
    """Map one component into its folder, which appears atomically. Returns the number of photos.

    It works in a temporary folder of its own: a worker that outlives a killed run must not write where its successor does.
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
            own = copy_excerpt(database, Path(part, "database.db"), photos, pairs, without=("descriptors", "matches"))
            pycolmap.incremental_mapping(own, study.photos / "images", models, options)
        for model in models.iterdir():
            (model / SUMS).write_bytes(_sums(model))
        if not target.exists():
            models.rename(target)
    return len(photos)


def write_model(model: pycolmap.Reconstruction, folder: Path) -> None:
    """Write a model in COLMAP's binary format, with its checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    model.write(folder)
    (folder / SUMS).write_bytes(_sums(folder))


def open_model(folder: Path) -> pycolmap.Reconstruction:
    """The model in `folder`. Raises StudyError if a file is missing or is not the one that was written.

    COLMAP trusts the counts in its files: a damaged count makes it read for hours, or ends the process. So the checksums come
    first.
    """
    try:
        sums = (folder / SUMS).read_bytes()
    except OSError as error:
        raise StudyError(f"{folder / SUMS}: cannot be read ({error.strerror}); dvc repro reconstruction makes it") from None
    if sums != _sums(folder):
        raise StudyError(f"{folder}: the model's files are damaged; make them again: dvc repro --force reconstruction")
    with colmap(f"reading the model in {folder}"):
        return pycolmap.Reconstruction(folder)


def _sums(folder: Path) -> bytes:
    files = sorted(folder.glob("*.bin"))
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files).encode()
