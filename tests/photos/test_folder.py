"""A folder of anybody's photos becomes photos and counted leave-outs; the photos stay as they are."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.photos import folder, gather
from bcdh_lib.study import Study, find_root, open_study


def study_of(root: Path, photos: Path | str, threads: int = 2, **settings) -> Study:
    """A study at `root` of the photos in a folder."""
    root.mkdir(exist_ok=True)
    shutil.copy(find_root() / "params.yaml", root)
    changes = {"photos": {"source": "folder", "folder": str(photos), **settings}, "run": {"threads": threads}}
    return open_study(changes | {"retrieval": {"benchmarks": ["collection"]}}, root)  # nothing to render


def picture(number: int, width: int = 96, height: int = 72) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8))


def everything(root: Path) -> dict[str, object]:
    """Contents, sizes and times of all that lies under a folder."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [root, *root.rglob("*")]
    }


def left_out(study: Study) -> dict[str, str]:
    return read_table(study.photos, "left_out").set_index("path")["reason"].to_dict()


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """A tree of six usable photos and of nearly everything else that lies among photos."""
    pile = tmp_path_factory.mktemp("folder") / "pile of photos"
    for inner in ("b/c d", "ünïcode", ".thumbnails", "empty"):
        (pile / inner).mkdir(parents=True)
    picture(1).save(pile / "b/c d/one.jpg")
    picture(2).save(pile / "ünïcode/two\nlines.png")
    picture(3).save(pile / "a.txt", "JPEG")
    picture(4).save(os.fsencode(pile) + b"/latin-\xe9.bmp")
    picture(5, 1000, 500).save(pile / "wide.webp")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    turned.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    picture(6).save(pile / "b/turned.jpg", exif=turned)
    shutil.copy(pile / "b/c d/one.jpg", pile / "z copy.jpg")
    Image.open(pile / "b/c d/one.jpg").save(pile / "z pixels.png")
    picture(7).save(pile / ".hidden.jpg")
    picture(8).save(pile / ".thumbnails/small.jpg")
    picture(9, 30, 200).save(pile / "small.png")
    picture(10, 800, 700).save(pile / "large.png")
    (pile / "notes.jpg").write_text("no photo")
    (pile / "zero.jpg").touch()
    (pile / "cut.jpg").write_bytes((pile / "b/c d/one.jpg").read_bytes()[:2000])
    (pile / "gone.jpg").symlink_to("nowhere.jpg")
    (pile / "itself").symlink_to("itself")
    (pile / "b/up").symlink_to("..")
    os.mkfifo(pile / "pipe.jpg")
    return pile


SETTINGS = {"max_megapixels": 0.55, "max_side": 640}


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory, pile):
    """The study that took the pile in."""
    study = study_of(tmp_path_factory.mktemp("study"), pile, **SETTINGS)
    before = everything(pile)
    gather(study)
    assert everything(pile) == before
    return study


def test_what_becomes_of_each_file(taken_in):
    study = taken_in
    photos = read_table(study.photos, "photos")
    assert photos["path"].tolist() == [
        "a.txt",
        "b/c d/one.jpg",
        "b/turned.jpg",
        "latin-\\xe9.bmp",
        "wide.webp",
        "ünïcode/two\\nlines.png",
    ]
    assert photos["photo_id"].tolist() == list(range(6))
    assert photos[["width", "height"]].values.tolist() == [[96, 72], [96, 72], [72, 96], [96, 72], [1000, 500], [96, 72]]
    assert set(photos["source"]) == {"folder"}
    assert left_out(study) == {
        ".hidden.jpg": "not an image",
        ".thumbnails/small.jpg": "not an image",
        "b/up": "duplicate",
        "cut.jpg": "not decodable",
        "gone.jpg": "unreadable",
        "itself": "unreadable",
        "large.png": "too large",
        "notes.jpg": "not an image",
        "pipe.jpg": "not an image",
        "small.png": "too small",
        "z copy.jpg": "duplicate",
        "z pixels.png": "duplicate",
        "zero.jpg": "empty",
    }
    details = read_table(study.photos, "left_out").set_index("path")["detail"]
    assert details["z copy.jpg"] == "same file as b/c d/one.jpg"
    assert details["z pixels.png"] == "same pixels as b/c d/one.jpg"


def test_the_copies(taken_in, pile):
    study = taken_in
    photos = read_table(study.photos, "photos").set_index("path")
    copy = {path: study.image(photo_id) for path, photo_id in photos["photo_id"].items()}
    assert sorted(copy.values()) == sorted((study.photos / "images").iterdir())
    for path in copy.values():
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert max(image.size) <= 640
            assert ExifTags.Base.Orientation not in image.getexif()
    assert copy["a.txt"].read_bytes() == (pile / "a.txt").read_bytes()
    with Image.open(copy["b/turned.jpg"]) as image:
        assert image.size == (72, 96)
        assert image.getexif().get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.FocalLengthIn35mmFilm: 28}
        stored = Image.open(pile / "b/turned.jpg").transpose(Image.Transpose.ROTATE_270)
        assert np.abs(np.asarray(image, int) - np.asarray(stored, int)).mean() < 25
    with Image.open(copy["wide.webp"]) as image:
        assert image.size == (640, 320)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_number_of_processes_changes_nothing(tmp_path, pile, taken_in):
    study = study_of(tmp_path, pile, threads=1, **SETTINGS)
    gather(study)
    assert contents(study.photos) == contents(taken_in.photos)


def test_again_in_place_of_an_earlier_result(tmp_path):
    pile = tmp_path / "pile"
    pile.mkdir()
    for number in range(3):
        picture(number).save(pile / f"{number}.jpg")
    study = study_of(tmp_path / "study", pile, threads=1)
    gather(study)
    (pile / "0.jpg").unlink()
    gather(study)
    assert sorted(contents(study.photos)) == ["images/0000000.jpg", "images/0000001.jpg", "left_out.parquet", "photos.parquet"]
    assert study.image(0).read_bytes() == (pile / "1.jpg").read_bytes()
    assert not (study.root / "work/photos").exists()


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


def test_what_may_only_be_read_and_what_may_not(params):
    Image.init()  # no module has to be found by nobody
    with tempfile.TemporaryDirectory() as place:
        pile, copies = Path(place, "pile"), Path(place, "copies")
        (pile / "locked").mkdir(parents=True)
        copies.mkdir()
        picture(1).save(pile / "one.jpg")
        picture(2).save(pile / "two.jpg")
        modes = {place: 0o755, copies: 0o777, pile / "two.jpg": 0, pile / "locked": 0, pile: 0o555}
        for path, mode in modes.items():
            os.chmod(path, mode)
        with powerless():
            files, barred = folder.find_files(pile)
            one, two = [folder.take(job, params.photos, copies) for job in files.items()]
        pile.chmod(0o755)
        assert isinstance(one, folder.Photo)
        assert two == folder.LeftOut("two.jpg", "unreadable", "Permission denied")
        assert barred == [folder.LeftOut("locked", "unreadable", "folder: Permission denied")]
        assert len(list(copies.iterdir())) == 1


def refusal(study: Study) -> str:
    with pytest.raisesStudyError as caught:
        gather(study)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "photos.folder" in message
    assert not study.photos.exists()
    return message


def test_no_photos_to_start_from(tmp_path):
    (tmp_path / "file.jpg").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "useless").mkdir()
    (tmp_path / "useless/a.jpg").touch()
    (tmp_path / "useless/b.txt").write_text("text")
    (tmp_path / "useless/c.txt").write_text("text")
    root = tmp_path / "study"
    assert "is not there" in refusal(study_of(root, tmp_path / "nowhere"))
    assert "is a file" in refusal(study_of(root, tmp_path / "file.jpg"))
    assert "(it is empty)" in refusal(study_of(root, tmp_path / "empty"))
    assert "(2 not an image, 1 empty)" in refusal(study_of(root, tmp_path / "useless"))


@pytest.mark.parametrize("own", ["data", "data/photos/images", "work"])
def test_the_studys_own_folders_are_no_photos(tmp_path, own):
    study = study_of(tmp_path / "study", own)
    (study.root / own).mkdir(parents=True)
    with pytest.raises(StudyError, match=r"photos\.folder: .* the study's own"):
        gather(study)


def test_relative_folders_start_from_the_study(tmp_path):
    study = study_of(tmp_path / "study", "../pile")
    (tmp_path / "pile").mkdir()
    assert folder.locate(study).samefile(tmp_path / "pile")


def test_paths_in_tables_are_one_line_and_tell_all_paths_apart():
    names = ["a", "b c", "é", "a\nb", "a\\nb", os.fsdecode(b"\xe9"), "\\xe9", "日本", "a\tb"]
    written = [folder.path_in_table(Path(name)) for name in names]
    assert written[:3] == ["a", "b c", "é"]
    assert written[7:] == ["日本", "a\tb"]
    assert len(set(written)) == len(names)
    assert [folder.path_from_table(name) for name in written] == [Path(name) for name in names]
    assert all("\n" not in name and name.encode() for name in written)


KILLED = """
import os, sys
from pathlib import Path
from bcdh_lib.photos import folder, gather
from bcdh_lib.study import open_study
taken = folder.asdict
def kill_at_the_fifth(photo):
    kill_at_the_fifth.count += 1
    if kill_at_the_fifth.count == 5:
        os.kill(os.getpid(), 9)
    return taken(photo)
kill_at_the_fifth.count = 0
folder.asdict = kill_at_the_fifth
root, photos = map(Path, sys.argv[1:])
changes = {"photos": {"source": "folder", "folder": str(photos)}, "retrieval": {"benchmarks": ["collection"]}}
gather(open_study(changes, root))
"""


def test_a_killed_run_goes_on_from_its_finished_photos(tmp_path, monkeypatch):
    pile = tmp_path / "pile"
    pile.mkdir()
    for number in range(8):
        picture(number).save(pile / f"{number}.png")
    study = study_of(tmp_path / "study", pile)
    run = subprocess.run([sys.executable, "-c", KILLED, study.root, pile], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not study.photos.exists()
    notes = next((study.root / "work/photos").glob("*/finished.jsonl"))
    notes.write_text(notes.read_text() + '{"path": "7.p')  # as if cut in the middle of a note
    picture(100).save(pile / "1.png")  # changed since it was noted
    taken = []
    in_processes = folder.in_processes
    monkeypatch.setattr(folder, "in_processes", lambda take, jobs, n: in_processes(take, taken.extend(jobs) or jobs, n))
    gather(study)
    assert [path for path, _ in taken] == ["1.png", "4.png", "5.png", "6.png", "7.png"]
    undisturbed = study_of(tmp_path / "undisturbed", pile)
    gather(undisturbed)
    assert contents(study.photos) == contents(undisturbed.photos)


def take_or_die(job: folder.Job) -> folder.LeftOut:
    if job[0].startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return folder.LeftOut(job[0], "taken", "")


def test_a_file_that_kills_its_process_is_left_out_and_the_others_go_on():
    names = ["a", "b", "deadly 1", "c", "deadly 2", "d"]
    outcomes = list(folder.in_processes(take_or_die, [(name, Path(name)) for name in names], 2))
    assert [one.path for one in outcomes] == names
    assert [one.reason for one in outcomes] == ["taken", "taken", "not decodable", "taken", "not decodable", "taken"]


def test_of_jobs_without_end_few_are_under_way():
    drawn = []
    jobs = ((str(number), Path(drawn.append(number) or "")) for number in itertools.count())
    outcomes = folder.in_processes(take_or_die, jobs, 2)
    assert [next(outcomes).path for _ in range(100)] == [str(number) for number in range(100)]
    assert len(drawn) <= 100 + folder.AHEAD + 2


def test_processes_that_cannot_start_are_no_files_fault(monkeypatch):
    monkeypatch.setattr(
        folder, "prepare_process", signal.raise_signal
    )  # which fails in each process: there is no signal of that number
    with pytest.raises(folder.BrokenProcessPool):
        list(folder.in_processes(take_or_die, [("a", Path("a"))], 2))
