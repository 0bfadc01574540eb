"""COLMAP's models -> the study's models, and the tables of which photo is in which model and sees which points."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pycolmap
import scipy.sparse as sparse

from bcdh_lib.params import Reconstruction
from bcdh_lib.reconstruction.database import image_id, photo_id
from bcdh_lib.reconstruction.graph import components, split_at_bridges, verified_pairs
from bcdh_lib.reconstruction.models import open_model, write_model
from bcdh_lib.study import Study

REASONS = {
    "no features": "the copy is unreadable, or SIFT finds nothing in it",
    "no verified match": "no two-view geometry connects it with another photo",
    "not registered": "it has verified matches, but COLMAP did not register it in a model",
    "small model": "it and the photos that it matches are fewer than reconstruction.min_model_size",
}
"""Why a photo is in no model."""


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
    """Write part number N of the list to the folder `folder`/N, in COLMAP's binary format.

    Returns the tables `registrations` (without group_id) and `tracks`.
    """
    registrations, tracks = [], []
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
    return (
        pd.DataFrame(registrations, columns=["photo_id", "model_id", "n_points", "scale"]),
        pd.concat([pd.DataFrame({"photo_id": [], "point_id": []}, dtype=np.int64), *tracks], ignore_index=True),
    )


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
