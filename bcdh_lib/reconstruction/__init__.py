"""Photos -> features -> candidate pairs -> verified matches -> 3D models: structure from motion, by COLMAP."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array, write_array, write_json
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.reconstruction.candidate_checkpoint import checkpoint_files
from bcdh_lib.reconstruction.candidates import propose_candidates, search_matches
from bcdh_lib.reconstruction.features import extract_features
from bcdh_lib.reconstruction.guards import group_models
from bcdh_lib.reconstruction.matches import verify_matches
from bcdh_lib.reconstruction.models import build_models
from bcdh_lib.reconstruction.registrations import REASONS, Part, divide, explain_unregistered, write_models
from bcdh_lib.study import Study

__all__ = [
    "StudyError",
    "build_models",
    "divide",
    "extract_features",
    "group_models",
    "propose_candidates",
    "reconstruct",
    "search_matches",
    "verify_matches",
    "work_folder",
    "write_models",
]


def reconstruct(study: Study) -> None:
    """Reconstruct 3D models from the study's photos; writes the folder study.reconstruction, whole or not at all.

    models/N/ (COLMAP's binary format, the largest model is 0), candidates, registrations, tracks and unregistered .parquet,
    summary.json. A pile that gives no model ends well, with empty tables: who needs models says so.
    A killed run, started again, goes on from the features, matches and models it had finished; they are kept until the
    notebook is written (bcdh_lib.report.execute), so that a figure that fails costs nothing but itself.
    """
    photo_ids = read_table(study.photos, "photos").photo_id.tolist()
    work = work_folder(study)
    database = work / "database.db"
    features = extract_features(study, database, photo_ids)
    proposals = _proposed(study, database, features.index[features > 0].tolist(), work / "proposals.npy")
    matches = search_matches(proposals, study.params.reconstruction, partial(verify_matches, study, database))
    models = build_models(study, database, matches, work / "models")
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    write_results(study, features, matches, divide(study, models), finished)
    shutil.rmtree(study.reconstruction, ignore_errors=True)
    study.reconstruction.parent.mkdir(parents=True, exist_ok=True)
    finished.rename(study.reconstruction)


def work_folder(study: Study) -> Path:
    """Where the unfinished work of these photos and settings is kept. Raises StudyError."""
    settings = (study.params.photos, study.params.reconstruction, pycolmap.COLMAP_version)
    return study.unfinished("reconstruction", settings, [study.photos / "photos.parquet", *checkpoint_files(study)], __name__)


def write_results(study: Study, features: pd.Series, matches: pd.DataFrame, parts: list[Part], folder: Path) -> None:
    """Write models, tables and summary into `folder`, from what the steps before gave."""
    settings = study.params.reconstruction
    kept = [part for part in parts if len(part.photos) >= settings.min_model_size]
    registrations, tracks = write_models(kept, folder / "models")
    group_of, linked = group_models(registrations.set_index("photo_id").model_id, matches, settings.min_link_inliers)
    registrations["group_id"] = registrations.model_id.map(group_of)
    small = np.array([photo for part in parts[len(kept) :] for photo in part.photos], dtype=np.int64)
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
        "models": len(kept),
        "groups": registrations.group_id.nunique(),
        "registered": len(registrations),
        "unregistered": {reason: int((unregistered.reason == reason).sum()) for reason in REASONS},
        "linked": int(unregistered.linked.sum()),
    }
    write_json(folder / "summary.json", counts)


def _proposed(study: Study, database: Path, photo_ids: list[int], kept: Path) -> np.ndarray:
    """The proposals, found once: they are read back from the file `kept` when a killed run goes on."""
    if not kept.exists():
        write_array(kept, propose_candidates(study, database, photo_ids))
    try:
        return read_array(kept)
    except ValueError as error:
        raise StudyError(f"{kept}: cannot be read ({error}); remove it, and the proposals are found anew") from None
