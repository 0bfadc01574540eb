"""Verified matches -> 3D models, by COLMAP's incremental mapping; models on disk; which photo is in which and sees what of it."""

import hashlib
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pycolmap
import scipy.sparse as sparse
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.params import Reconstruction
from bcdh_lib.reconstruction.database import colmap, copy_excerpt, image_id, photo_id, share
from bcdh_lib.reconstruction.graph import components, split_at_bridges, verified_pairs
from bcdh_lib.study import Study

REASONS = {
    "no features": "the copy is unreadable, or SIFT finds nothing in it",
    "no verified match": "no two-view geometry connects it with another photo",
    "not registered": "it has verified matches, but COLMAP did not register it in a model",
    "small model": "it and the photos that it matches are fewer than reconstruction.min_model_size",
}
"""Why a photo is in no model."""

SUMS = "SHA256SUMS"  # the file of checksums next to a model's .bin files, in the form of the command sha256sum


class Component(NamedTuple):
    """Photos that verified matches connect."""

    photos: np.ndarray  # ids, int [n]
    pairs: np.ndarray  # the verified pairs among them, photo ids, int [pairs, 2]
    folder: Path  # for its models


def build_models(study: Study, database: Path, matches: pd.DataFrame, folder: Path) -> list[Path]:
    """Map each connected component of the verified matches, in run.threads processes or on the workers of cluster.scheduler.

    Mapping repeats exactly on one thread only, so one process maps a component. Its models appear in `folder` together, once all
    of them are finished; a component whose models are there is not mapped again. Returns the folders of all models; a component
    can have several, or none.
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

    The checksums come first: a damaged count makes COLMAP read for hours, or ends the process.
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


class Part(NamedTuple):
    """Photos of one of COLMAP's models that become a model of the study. Usually these are all its photos."""

    model: Path
    photos: np.ndarray  # ids, sorted


def divide(study: Study, models: Sequence[Path]) -> list[Part]:
    """The parts that COLMAP's models become, the largest first, including those smaller than min_model_size.

    COLMAP may register a photo in two models: it stays in the one with more photos. A model whose parts only a weak bridge
    connects is split there (`split_at_bridges`).
    """
    settings = study.params.reconstruction
    opened = sorted(((model, *_points_seen(model)) for model in models), key=lambda each: (-len(each[1]), tuple(each[1])))
    taken: set[int] = set()
    parts = []
    for model, photos, sees in opened:
        own = [row for row, photo in enumerate(photos) if photo not in taken]
        taken.update(photos.tolist())
        for rows in split_at_bridges(sees[own], settings.max_bridge, settings.min_model_size):
            parts.append(Part(model, photos[own][rows]))
    return sorted(parts, key=lambda part: (-len(part.photos), part.photos[0]))


def write_models(parts: Sequence[Part], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write part number N to `folder`/N. Returns the tables `registrations` (without group_id) and `tracks`."""
    registrations, tracks = [], [pd.DataFrame({"photo_id": [], "point_id": []}, dtype=np.int64)]
    for model_id, part in enumerate(parts):
        model = open_model(part.model)
        for other in set(model.reg_image_ids()) - set(image_id(part.photos).tolist()):
            model.deregister_frame(model.image(other).frame_id)
        write_model(model, folder / str(model_id))
        for photo in part.photos.tolist():
            image = model.image(image_id(photo))
            points = _points_of(image)
            registrations.append((photo, model_id, len(points), _scale(model, image, points)))
            tracks.append(pd.DataFrame({"photo_id": photo, "point_id": model_id << 32 | points}))
    columns = ["photo_id", "model_id", "n_points", "scale"]
    return pd.DataFrame(registrations, columns=columns), pd.concat(tracks, ignore_index=True)


def explain_unregistered(
    features: pd.Series, matches: pd.DataFrame, registrations: pd.DataFrame, small: np.ndarray, settings: Reconstruction
) -> pd.DataFrame:
    """The table of photos in no model: photo_id, reason (one of REASONS).

    features: their number, by photo_id; small: ids of the photos of models that are dropped because they are too small.
    """
    edges = verified_pairs(matches, settings.min_inliers)
    too_few = [photos for photos in components(edges) if len(photos) < settings.min_model_size]
    reason = pd.Series("no verified match", index=features.index, dtype=object)
    reason[features == 0] = "no features"
    reason[np.unique(edges)] = "not registered"
    reason[np.concatenate([small, *too_few]).astype(np.int64)] = "small model"
    return reason.drop(registrations.photo_id).rename("reason").rename_axis("photo_id").reset_index()


def _points_seen(model: Path) -> tuple[np.ndarray, sparse.csr_array]:
    """The photos of a model that see points of it, int64 [n], and which points they see, 0/1 [n, points]."""
    opened = open_model(model)
    points = {image: _points_of(opened.image(image)) for image in sorted(opened.reg_image_ids())}
    points = {image: seen for image, seen in points.items() if len(seen)}
    known, column = np.unique(np.concatenate([np.zeros(0, np.int64), *points.values()]), return_inverse=True)
    row = np.repeat(np.arange(len(points)), [len(seen) for seen in points.values()])
    sees = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(points), len(known)))
    return photo_id(np.array(list(points), dtype=np.int64)), sees


def _points_of(image: pycolmap.Image) -> np.ndarray:
    return np.unique(np.array([point.point3D_id for point in image.get_observation_points2D()], dtype=np.int64))


def _scale(model: pycolmap.Reconstruction, image: pycolmap.Image, points: np.ndarray) -> float:
    """Pixels per unit of the model's length in a photo, at the median depth of the points that it sees."""
    camera_from_world = image.cam_from_world().matrix()
    depth = np.array([model.points3D[point].xyz for point in points]) @ camera_from_world[2, :3] + camera_from_world[2, 3]
    return float(model.camera(image.camera_id).mean_focal_length() / np.median(depth))
