"""The listing of a stranger's folder: it changes with the folder and with nothing else."""

import os

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.photos.listing import list_pile, list_published
from bcdh_lib.study import Study


def study_of(params, root, folder):
    photos = params.photos.model_copy(update={"source": "folder", "folder": str(folder)})
    return Study(root, params.model_copy(update={"photos": photos}))


def test_new_changed_and_deleted_files_show(params, tmp_path):
    folder = tmp_path / "photos"
    (folder / "a b").mkdir(parents=True)
    (folder / "a b/1.jpg").write_bytes(b"x")
    study = study_of(params, tmp_path, folder)
    first = list_pile(study)
    assert first.count(b"\n") == 1
    assert list_pile(study) == first
    os.utime(folder / "a b/1.jpg", ns=(0, 5))
    touched = list_pile(study)
    assert touched == b"b'a b/1.jpg' 1 5\n"
    (folder / "2.jpg").write_bytes(b"")
    assert list_pile(study).startswith(b"b'2.jpg' 0 ")
    (folder / "2.jpg").unlink()
    assert list_pile(study) == touched


def test_the_rendered_pile_and_a_missing_folder(params, tmp_path):
    assert list_pile(Study(tmp_path, params)) == b""
    with pytest.raises(StudyError, match="is not there"):
        list_pile(study_of(params, tmp_path, tmp_path / "none"))


def test_published_benchmarks_show_and_rendered_ones_do_not(params, tmp_path):
    study = Study(tmp_path, params)
    assert list_published(study) == b""
    for name in ("rendered_oxford", "oxford5k"):
        (study.benchmarks / name / "jpg").mkdir(parents=True)
        (study.benchmarks / name / "jpg/1.jpg").write_bytes(b"x")
    (study.benchmarks / "roxford5k").mkdir()
    (study.benchmarks / "roxford5k/jpg").symlink_to(study.benchmarks / "oxford5k/jpg")
    os.utime(study.benchmarks / "oxford5k/jpg/1.jpg", ns=(0, 5))
    assert list_published(study) == b"b'oxford5k/jpg/1.jpg' 1 5\nb'roxford5k/jpg/1.jpg' 1 5\n"


def test_a_link_to_a_folder_above_is_not_followed_for_ever(params, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"x")
    (folder / "loop").symlink_to(folder)
    assert list_pile(study_of(params, tmp_path, folder)).count(b"\n") == 1
