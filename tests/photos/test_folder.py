"""Walking a folder: what is found and left out, how paths are written; its listing changes with the files and nothing else."""

import os
from pathlib import Path

import pytest

from bcdh_lib.photos.folder import find_files, path_from_table, path_in_table
from bcdh_lib.photos.listing import list_collection, list_published
from bcdh_lib.photos.photo_file import LeftOut
from bcdh_lib.study import Study
from tests.helpers import refused


def test_paths_in_tables_are_one_line_and_differ_if_the_paths_do():
    names = ["a", "b c", "é", "日本", "a\nb", "a\\nb", os.fsdecode(b"\xe9"), "\\xe9", "a\rb", "\x1b[2J", "a\u2028b", "\x85"]
    written = [path_in_table(Path(name)) for name in names]
    assert written[:5] == ["a", "b c", "é", "日本", r"a\nb"]
    assert len(set(written)) == len(names)
    assert [path_from_table(name) for name in written] == [Path(name) for name in names]
    assert all(name.isprintable() and name.encode() for name in written)


def touch(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


LIBRARIES = ["P.photoslibrary/resources/derivatives/5.jpg", "old/P.photolibrary/Thumbnails/6.jpg", "x.lrdata/7.jpg"]
PREVIEWS = ["Old.migratedphotolibrary/Previews/6.jpg", "cloud/appdata_oc1/preview/1/256-256.jpg", "a/.thumbnails/1.jpg"]
DISKS = ["lost+found/4.jpg", ".Trash-1000/files/8.jpg", "b/$RECYCLE.BIN/3.jpg", "FOUND.000/9.jpg", "LOST.DIR/9.jpg"]
SYSTEMS = ["a/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/2.jpg", "#snapshot/1/a/1.jpg", "a/._1.jpg", "__MACOSX/a/1.jpg"]
EXCLUDED = [*LIBRARIES, *PREVIEWS, *DISKS, *SYSTEMS]
PHOTOS = ("a/1.jpg", "P.photoslibrary/originals/0/5.jpg", "old/P.photolibrary/Masters/6.jpg", "found/4.jpg", "eaDir/1.jpg")


def test_thumbnails_and_trash_of_known_programs_are_excluded(tmp_path):
    files, left_out = find_files(touch(tmp_path, *EXCLUDED, *PHOTOS))
    assert sorted(files) == sorted(PHOTOS)
    assert {one.reason for one in left_out} == {"excluded"}
    assert len(left_out) == len(EXCLUDED)  # a folder is one row
    assert LeftOut("#recycle", "excluded", r"folder: \#recycle") in left_out
    assert list(find_files(tmp_path / "P.photoslibrary")[0]) == ["originals/0/5.jpg"]  # a photo library itself


def test_patterns_of_the_user(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/2.png", "b/1.jpg", "b/c/1.jpg", "@eaDir/1.jpg")
    assert sorted(find_files(tmp_path, ["*.png", "/b/*", "!/b/c", "!@eaDir"])[0]) == ["@eaDir/1.jpg", "a/1.jpg", "b/c/1.jpg"]
    assert LeftOut("a/2.png", "excluded", "file: *.png") in find_files(tmp_path, ["*.png"])[1]
    touch(tmp_path, ".kept/1.jpg")
    assert sorted(find_files(tmp_path, ["!.kept", "a", "b"])[0]) == [".kept/1.jpg"]


@pytest.mark.parametrize("pattern", ["!", "[z-a].jpg"])
def test_what_is_no_pattern_is_refused_in_one_line(tmp_path, pattern):
    with refused(r"photos\.exclude: .*; write patterns as in \.gitignore"):
        find_files(tmp_path, [pattern])


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "a/1.jpg")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "itself").symlink_to("itself")
    files, left_out = find_files(tmp_path)
    assert sorted(files) == ["a/1.jpg", "itself"]
    assert [(one.path, one.reason) for one in left_out] == [("a/up", "duplicate")]


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
