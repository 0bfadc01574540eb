"""The listing of a folder changes with the files in it and with nothing else."""

import os

from bcdh_lib.photos.listing import list_collection, list_published
from bcdh_lib.study import Study


def lines_of(listing: bytes) -> list[bytes]:
    """What follows the heading."""
    heading, *lines = listing.splitlines()
    assert heading.startswith(b"#")
    return lines


def test_new_changed_and_deleted_files_show(params, tmp_path):
    folder = tmp_path / "photos"
    (folder / "a b").mkdir(parents=True)
    (folder / "a b/1.jpg").write_bytes(b"x")
    (folder / "loop").symlink_to(folder)
    photos = params.photos.model_copy(update={"source": "folder", "folder": str(folder), "exclude": ["*.txt"]})
    study = Study(tmp_path, params.model_copy(update={"photos": photos}))
    assert lines_of(list_collection(Study(tmp_path, params))) == []  # rendered
    first = list_collection(study)
    assert list_collection(study) == first
    os.utime(folder / "a b/1.jpg", ns=(0, 5))
    assert lines_of(list_collection(study)) == [b"b'a b/1.jpg' 1 5"] != lines_of(first)
    for name in ("2.jpg", "3.txt"):
        (folder / name).touch()
    (folder / "4.jpg").symlink_to("a b/1.jpg")
    new, *others = lines_of(list_collection(study))
    assert new.startswith(b"b'2.jpg' 0 ")
    assert others == [b"b'4.jpg' 1 5", b"b'a b/1.jpg' 1 5"]  # of the link's target


def test_benchmarks_show_and_rendered_ones_do_not(study):
    assert lines_of(list_published(study)) == []
    for name in ("rendered_oxford", "oxford5k"):
        (study.benchmarks / name / "jpg").mkdir(parents=True)
        (study.benchmarks / name / "jpg/1.jpg").write_bytes(b"x")
    (study.benchmarks / "roxford5k").mkdir()
    (study.benchmarks / "roxford5k/jpg").symlink_to(study.benchmarks / "oxford5k/jpg")
    os.utime(study.benchmarks / "oxford5k/jpg/1.jpg", ns=(0, 5))
    assert lines_of(list_published(study)) == [b"b'oxford5k/jpg/1.jpg' 1 5", b"b'roxford5k/jpg/1.jpg' 1 5"]
