"""Photos -> SIFT features, in COLMAP's database."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from tqdm.auto import tqdm

from bcdh_lib.reconstruction.database import colmap, image_id, image_name, photo_id, query, work_in_excerpts
from bcdh_lib.study import Study

PHOTOS_A_JOB = 64


def extract_features(study: Study, database: Path, photo_ids: Sequence[int]) -> pd.Series:
    """SIFT keypoints and descriptors of the photos, written to COLMAP's database.

    Photos that already have features are skipped, so a killed run goes on where it stopped. Returns the number of features, by
    photo_id; it is 0 if a copy is unreadable or SIFT finds nothing in it.
    """
    register_photos(study, database, photo_ids)
    extracted = count_features(database)
    readable = [photo_id(image) for (image,) in query(database, "SELECT image_id FROM images ORDER BY image_id")]
    missing = np.array([photo for photo in readable if photo not in extracted.index], dtype=np.int64)
    bar = tqdm(total=len(readable), initial=len(readable) - len(missing), desc="features", unit="photo")
    work_in_excerpts(_extract, study, database, missing, PHOTOS_A_JOB, bar)
    return count_features(database).reindex(photo_ids, fill_value=0)


def _extract(study: Study, excerpt: Path, photos: np.ndarray) -> None:
    sift = {"max_num_features": study.params.reconstruction.max_features}
    options = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False, sift=sift)
    names, mode = [image_name(photo) for photo in photos], pycolmap.CameraMode.PER_IMAGE
    pycolmap.extract_features(excerpt, study.photos / "images", names, mode, extraction_options=options)


def register_photos(study: Study, database: Path, photo_ids: Sequence[int]) -> None:
    """Enter the photos and one camera each into COLMAP's database, in one transaction, unless this is done already.

    image_id, camera_id, rig_id and frame_id of a photo are all photo_id + 1, although unreadable copies are not entered. The
    focal length comes from EXIF if the copy holds one, else it is 1.2 times the longer side (COLMAP's prior).
    """
    with colmap(f"opening {database}"), pycolmap.Database.open(database) as entries:
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
    """SIFT descriptors of the photos, uint8 [features, 128] each."""
    with colmap(f"reading {database}"), pycolmap.Database.open(database) as entries:
        return [entries.read_descriptors(image_id(photo)).data.reshape(-1, 128) for photo in photo_ids]


def count_features(database: Path) -> pd.Series:
    """The number of features of each photo that the database has features of, by photo_id."""
    rows = query(database, "SELECT image_id, rows FROM descriptors ORDER BY image_id")
    images, counts = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(counts, index=pd.Index(photo_id(images), name="photo_id"), name="features")
