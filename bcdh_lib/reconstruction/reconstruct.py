"""The reconstruction step: photos -> 3D models, and the tables of what they hold."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array, write_array, write_json
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.reconstruction.candidates import propose_candidates, search_matches
from bcdh_lib.reconstruction.features import extract_features
from bcdh_lib.reconstruction.graph import group_models
from bcdh_lib.reconstruction.matches import verify_matches
from bcdh_lib.reconstruction.models import REASONS, Part, build_models, divide, explain_unregistered, write_models
from bcdh_lib.study import Study, computes


@computes("reconstruction", inputs=lambda study: [study.photos / "photos.parquet"])
def reconstruct(study: Study) -> None:
    """Reconstruct 3D models from the study's photos; writes the folder study.reconstruction, atomically.

    models/N/ (COLMAP's binary format; model 0 is the largest), the tables candidates, registrations, tracks and unregistered,
    and summary.json. A collection that gives no model is no error here: the tables are then empty.
    After a killed run, the same call continues with the features, matches and models that were finished.
    """
    photo_ids = read_table(study.photos, "photos").photo_id.tolist()
    work = work_folder(study)
    database = work / "database.db"
    features = extract_features(study, database, photo_ids)
    proposals = _propose_once(study, database, features.index[features > 0].tolist(), work / "proposals.npy")
    matches = search_matches(proposals, study.params.reconstruction, partial(verify_matches, study, database))
    models = build_models(study, database, matches, work / "models")
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    write_results(study, features, matches, divide(study, models), finished)
    shutil.rmtree(study.reconstruction, ignore_errors=True)
    study.reconstruction.parent.mkdir(parents=True, exist_ok=True)
    finished.rename(study.reconstruction)


def work_folder(study: Study) -> Path:
    """The folder of the unfinished work on these photos with these settings. Raises StudyError."""
    settings = (study.params.photos, study.params.reconstruction, pycolmap.COLMAP_version)
    return study.unfinished("reconstruction", settings, [study.photos / "photos.parquet"], __name__)


def _propose_once(study: Study, database: Path, photo_ids: list[int], path: Path) -> np.ndarray:
    """The proposals, read from `path` if an earlier run wrote them. A process of its own computes them and returns its memory."""
    if not path.exists():
        (proposals,) = side_by_side(partial(propose_candidates, study, database), [photo_ids], 1)
        write_array(path, proposals)
    try:
        return read_array(path)
    except ValueError as error:
        raise StudyError(f"{path}: cannot be read ({error}); delete it and start again") from None


def write_results(study: Study, features: pd.Series, matches: pd.DataFrame, parts: list[Part], folder: Path) -> None:
    """Write models, tables and summary to `folder`."""
    settings = study.params.reconstruction
    large = [part for part in parts if len(part.photos) >= settings.min_model_size]
    registrations, tracks = write_models(large, folder / "models")
    group_of, linked = group_models(registrations.set_index("photo_id").model_id, matches, settings.min_link_inliers)
    registrations["group_id"] = registrations.model_id.map(group_of)
    small = np.array([photo for part in parts[len(large) :] for photo in part.photos], dtype=np.int64)
    unregistered = explain_unregistered(features, matches, registrations, small, settings)
    unregistered["linked"] = unregistered.photo_id.isin(linked)

    write_table(folder, "candidates", matches)
    write_table(folder, "registrations", registrations)
    write_table(folder, "tracks", tracks)
    write_table(folder, "unregistered", unregistered)
    counts = {
        "photos": len(features),
        "candidate_pairs": len(matches),
        "verified_pairs": int((matches.inliers >= settings.min_inliers).sum()),
        "models": len(large),
        "groups": registrations.group_id.nunique(),
        "registered": len(registrations),
        "unregistered": {reason: int((unregistered.reason == reason).sum()) for reason in REASONS},
        "linked": int(unregistered.linked.sum()),
    }
    write_json(folder / "summary.json", counts)
