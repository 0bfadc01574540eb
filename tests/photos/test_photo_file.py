"""Files decoded in processes: in order, a few ahead, and one that kills its process costs no other."""

import itertools
import os
import signal
import tempfile
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.photos import photo_file
from bcdh_lib.photos.collect import copy_photo
from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.photo_file import AHEAD, Job, LeftOut, Photo, decode_all, decode_file


def leave_out_or_die(job: Job) -> LeftOut:
    if job[0].startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return LeftOut(job[0], "done", "")


def test_a_file_that_kills_its_process_is_left_out_and_the_others_go_on():
    names = ["a", "b", "deadly 1", "c", "deadly 2", "d"]
    outcomes = list(decode_all(leave_out_or_die, [(name, Path(name)) for name in names], 2))
    assert [one.path for one in outcomes] == names
    assert [one.reason for one in outcomes] == ["done", "done", "not decodable", "done", "not decodable", "done"]


def test_few_of_endless_jobs_are_drawn_ahead():
    drawn = []
    jobs = ((str(number), Path(drawn.append(number) or "")) for number in itertools.count())
    outcomes = decode_all(leave_out_or_die, jobs, 2)
    assert [next(outcomes).path for _ in range(100)] == [str(number) for number in range(100)]
    assert len(drawn) <= 100 + AHEAD + 2


def test_if_no_process_can_start_no_file_is_blamed(monkeypatch):
    monkeypatch.setattr(photo_file, "prepare_process", signal.raise_signal)  # fails: an argument is missing
    with pytest.raises(BrokenProcessPool):
        list(decode_all(leave_out_or_die, [("a", Path("a"))], 2))


def test_a_path_that_no_file_can_have_is_left_out(params):
    assert decode_file(("a", Path("a\0b.jpg")), params.photos).reason == "unreadable"


@contextmanager
def powerless():
    """Root reads and writes everything: be nobody for a while."""
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)


def test_files_and_folders_that_cannot_be_read(params):
    Image.init()  # so that nobody has to import a module
    with tempfile.TemporaryDirectory() as place:
        album, copies = Path(place, "album"), Path(place, "copies")
        (album / "locked").mkdir(parents=True)
        copies.mkdir()
        for number, name in enumerate(("one", "two")):
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (72, 96, 3), np.uint8)).save(album / f"{name}.jpg")
        for path, mode in ((place, 0o755), (copies, 0o777), (album / "two.jpg", 0), (album / "locked", 0), (album, 0o555)):
            os.chmod(path, mode)
        with powerless():
            files, left_out = find_files(album)
            one, two = [copy_photo(job, params.photos, copies) for job in files.items()]
        album.chmod(0o755)
        assert isinstance(one, Photo)
        assert two == LeftOut("two.jpg", "unreadable", "Permission denied")
        assert left_out == [LeftOut("locked", "unreadable", "folder: Permission denied")]
        assert len(list(copies.iterdir())) == 1
