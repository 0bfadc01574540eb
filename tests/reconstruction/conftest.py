"""A tiny collection: two reliefs, and photos that end in no model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bcdh_lib.core.code import LIBRARY
from bcdh_lib.core.tables import write_table
from bcdh_lib.reconstruction.reconstruct import reconstruct, work_folder
from bcdh_lib.study import Study, open_study

from .relief import photograph, relief

BLANK, UNREADABLE, STRAY = 8, 2, 9  # photo ids; the unreadable one lies between the first relief's


def make_study(root: Path, photos: list[Image.Image | None], threads: int = 2, **settings: object) -> Study:
    """A study of these photos with small settings; None is an unreadable copy."""
    (root / "params.yaml").write_bytes((LIBRARY.parent / "params.yaml").read_bytes())
    small = {"max_features": 512, "words": 256, **settings}
    study = Study(root, open_study({"run": {"threads": threads}, "reconstruction": small}, root).params)
    study.image(0).parent.mkdir(parents=True)
    for photo_id, photo in enumerate(photos):
        if photo is None:
            study.image(photo_id).write_bytes(b"no photo")
        else:
            photo.save(study.image(photo_id), quality=95)
    ids = np.arange(len(photos))
    rows = {"photo_id": ids, "path": ids.astype(str), "width": 320, "height": 240, "sha256": ids.astype(str), "source": "folder"}
    write_table(study.photos, "photos", pd.DataFrame(rows))
    return study


@pytest.fixture(scope="session")
def photos() -> list[Image.Image | None]:
    """Photos 0, 1, 3, 4 show one relief, photos 5, 6, 7, 10 another. Photo 4 is taken from further away."""
    first, second = relief(1), relief(2)
    angles = (-0.3, -0.1, 0.1, 0.3)
    of_first = [photograph(first, angle, distance) for angle, distance in zip(angles, (3, 3, 3, 3.9), strict=True)]
    of_second = [photograph(second, angle) for angle in angles]
    blank, stray = Image.new("RGB", (320, 240), (90, 90, 90)), photograph(relief(3), 0)
    return [*of_first[:2], None, *of_first[2:], *of_second[:3], blank, stray, of_second[3]]


@pytest.fixture(scope="session")
def study(photos: list[Image.Image | None], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The collection, reconstructed."""
    study = make_study(tmp_path_factory.mktemp("collection"), photos)
    with pytest.MonkeyPatch.context() as patch:  # its unfinished work is kept, for tests that look into it
        patch.setattr(Study, "forget", lambda study, step: None)
        reconstruct(study)
    return study


@pytest.fixture(scope="session")
def finished(study: Study) -> Path:
    """The folder of the reconstruction's unfinished work: database.db, proposals.npy and models."""
    return work_folder(study)
