"""Photos -> SIFT features, in COLMAP's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from tqdm import tqdm

from bcdh_lib.reconstruction.colmap import colmap, image_id, image_name, photo_id, query
from bcdh_lib.study import Study

BLOCK = 64  # photos a call of COLMAP, between which the progress bar moves


def extract_features(study: Study, database: Path, photo_ids: Sequence[int]) -> pd.Series:
    """SIFT keypoints and descriptors of the photos, written to COLMAP's database.

    Photos that the database already holds features of are left as they are: a killed run goes on where it stopped
    (COLMAP writes each photo's features in one transaction).
    Returns the number of features, by photo_id; 0 where a copy is unreadable or shows nothing that SIFT finds.
    """
    register_photos(study, database, photo_ids)
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = 1  # on two, one of two extractions of the same 752 photos found 4 features less, of 560,541
    options.use_gpu = False
    options.sift.max_num_features = study.params.reconstruction.max_features

    extracted = _count_features(database)
    readable = [photo_id(image) for (image,) in query(database, "SELECT image_id FROM images ORDER BY image_id")]
    missing = [photo for photo in readable if photo not in extracted.index]
    with tqdm(total=len(readable), initial=len(readable) - len(missing), desc="features", unit="photo") as progress:
        for start in range(0, len(missing), BLOCK):
            names = [image_name(photo) for photo in missing[start : start + BLOCK]]
            with colmap(f"extracting the features of {names[0]} to {names[-1]}"):
                pycolmap.extract_features(
                    database, study.photos / "images", names, pycolmap.CameraMode.PER_IMAGE, extraction_options=options
                )
            progress.update(len(names))
    return _count_features(database).reindex(photo_ids, fill_value=0)


def register_photos(study: Study, database: Path, photo_ids: Sequence[int]) -> None:
    """Enter the photos and one camera each into COLMAP's database, in one transaction, if it is not done yet.

    image_id, camera_id, rig_id and frame_id of a photo are all photo_id + 1, whatever is unreadable before it: COLMAP
    would number what it reads, in the order in which its threads end. The focal length is EXIF's where the copy holds
    one, else 1.2 times the longer side (COLMAP's prior). Unreadable copies stay out.
    """
    with colmap("opening its database"), pycolmap.Database.open(database) as entries:
        if entries.num_images():
            return
        with pycolmap.DatabaseTransaction(entries):
            for photo in photo_ids:
                _register(entries, study.image(photo), image_id(photo))


def _register(entries: pycolmap.Database, path: Path, number: int) -> None:
    try:
        camera = pycolmap.infer_camera_from_image(path)
    except (ValueError, RuntimeError):
        return
    camera.camera_id = number
    rig = pycolmap.Rig(rig_id=number)
    rig.add_ref_sensor(camera.sensor_id)
    image = pycolmap.Image(name=path.name, camera_id=number, image_id=number)
    frame = pycolmap.Frame(frame_id=number, rig_id=number)
    frame.add_data_id(image.data_id)
    entries.write_camera(camera, use_camera_id=True)
    entries.write_rig(rig, use_rig_id=True)
    entries.write_image(image, use_image_id=True)
    entries.write_frame(frame, use_frame_id=True)


def read_descriptors(database: Path, photo_ids: Sequence[int]) -> list[np.ndarray]:
    """SIFT descriptors of the photos, float32 [features, 128] each."""
    with pycolmap.Database.open(database) as entries:
        return [entries.read_descriptors(image_id(photo)).data.reshape(-1, 128).astype(np.float32) for photo in photo_ids]


def _count_features(database: Path) -> pd.Series:
    rows = query(database, "SELECT image_id, rows FROM descriptors ORDER BY image_id")
    images, counts = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(counts, index=pd.Index(photo_id(images), name="photo_id"), name="features")
