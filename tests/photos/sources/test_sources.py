"""Every photo source of the registry, on a tiny case, gives photos of the same form."""

import os
import shutil

import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import load_params
from bcdh_lib.photos.collect import collect_photos
from bcdh_lib.photos.sources import SOURCES
from bcdh_lib.photos.sources.folder import photos_of
from bcdh_lib.study import Study, find_root, open_study
from tests.helpers import refused

from .test_rendered import TINY


@pytest.mark.parametrize("source", SOURCES)
def test_source(source, tmp_path):
    shutil.copy(find_root() / "params.yaml", tmp_path)
    (tmp_path / "album").mkdir()
    for number in range(7):
        Image.new("RGB", (64, 64), (30 * number, 0, 0)).save(tmp_path / f"album/{number}.png")
    study = open_study({"photos": {"source": source, "folder": "album"}, "rendered": TINY}, tmp_path)
    collect_photos(Study(tmp_path, study.params))
    photos = read_table(tmp_path / "data/photos", "photos")
    assert photos["photo_id"].tolist() == list(range(7))
    assert photos["path"].is_monotonic_increasing
    assert set(photos["source"]) == {source}
    assert photos[["width", "height"]].drop_duplicates().values.tolist() == [[64, 64]]
    assert len(list((tmp_path / "data/photos/images").iterdir())) == 7
    assert len(read_table(tmp_path / "data/photos", "left_out")) == 0


def of_folder(root, folder):
    return Study(root, load_params(find_root() / "params.yaml", {"photos": {"source": "folder", "folder": folder}}))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, ""),
        ("nowhere", "does not exist"),
        ("file.jpg", "is a file"),
        ("data", "the study's own"),
        ("data/photos/images", "the study's own"),
        ("work", "the study's own"),
    ],
)
def test_folders_that_are_refused(folder, message, tmp_path):
    (tmp_path / "file.jpg").touch()
    for own in ("data/photos/images", "work"):
        (tmp_path / own).mkdir(parents=True)
    with refused(rf"photos.*{message}"):
        photos_of(of_folder(tmp_path, folder))


def test_a_folder_is_relative_to_the_study_and_may_have_any_name(tmp_path):
    """caf\\xe9 is not UTF-8: settings and messages show it escaped."""
    named = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(named)
    assert os.fsencode(photos_of(of_folder(tmp_path, r"caf\xe9"))) == named
    os.rmdir(named)
    with pytest.raises(StudyError, match=r"caf\\xe9 does not exist") as caught:
        photos_of(of_folder(tmp_path, r"caf\xe9"))
    assert str(caught.value).encode()
