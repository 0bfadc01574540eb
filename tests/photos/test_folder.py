"""Walking a folder: what is found, what is left out, and how paths are written."""

import os
from pathlib import Path

import pytest

from bcdh_lib.photos.folder import find_files, path_from_table, path_in_table
from bcdh_lib.photos.photo_file import LeftOut
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


SYSTEM = (
    "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/2.jpg",
    "b/$RECYCLE.BIN/3.jpg",
    "lost+found/4.jpg",
    "P.photoslibrary/resources/derivatives/5.jpg",
    "old/P.photolibrary/Thumbnails/6.jpg",
    "x.lrdata/7.jpg",
    "#snapshot/1/a/1.jpg",
    ".Trash-1000/files/8.jpg",
    "a/.thumbnails/1.jpg",
    "a/._1.jpg",
    "__MACOSX/a/1.jpg",
    "LOST.DIR/9.jpg",
    "FOUND.000/9.jpg",
    "Old.migratedphotolibrary/Previews/6.jpg",
    "cloud/appdata_oc1/preview/1/256-256.jpg",
)
PHOTOS = ("a/1.jpg", "P.photoslibrary/originals/0/5.jpg", "old/P.photolibrary/Masters/6.jpg", "found/4.jpg", "eaDir/1.jpg")


def test_thumbnails_and_trash_of_known_programs_are_excluded(tmp_path):
    files, left_out = find_files(touch(tmp_path, *SYSTEM, *PHOTOS))
    assert sorted(files) == sorted(PHOTOS)
    assert {one.reason for one in left_out} == {"excluded"}
    assert len(left_out) == len(SYSTEM)  # a folder is one row
    assert LeftOut("#recycle", "excluded", r"folder: \#recycle") in left_out


def test_a_photo_library_itself(tmp_path):
    files, _ = find_files(touch(tmp_path, *SYSTEM, *PHOTOS) / "P.photoslibrary")
    assert sorted(files) == ["originals/0/5.jpg"]


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
