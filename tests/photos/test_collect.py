"""The photos step on a folder with everything that lies among photos; files decoded in processes, one of which may be killed."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import load_params
from bcdh_lib.photos import collect, photo_file
from bcdh_lib.photos.collect import collect_photos, copy_photo
from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.photo_file import AHEAD, Job, LeftOut, Photo, decode_all, decode_file
from bcdh_lib.study import Study, find_root
from tests.helpers import contents


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


@contextmanager
def powerless():
    """Root reads and writes everything: be nobody for a while."""
    own = os.geteuid()
    os.seteuid(own or 65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_files_and_folders_that_cannot_be_read(params):
    assert decode_file(("a", Path("a\0b.jpg")), params.photos).reason == "unreadable"  # a path that no file can have
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


def study_of(root: Path, photos: Path, threads: int = 2, **settings) -> Study:
    """A study at `root` of the photos in a folder."""
    root.mkdir(exist_ok=True)
    shutil.copy(find_root() / "params.yaml", root)
    changes = {"photos": {"source": "folder", "folder": str(photos), **settings}, "run": {"threads": threads}}
    return Study(root, load_params(root / "params.yaml", changes))


def picture(number: int, width: int = 96, height: int = 72) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A tree of six usable photos and of nearly everything else that lies among photos."""
    album = tmp_path_factory.mktemp("folder") / "album of photos"
    for inner in ("b/c d", "ünïcode", ".thumbnails", "empty", "@eaDir"):
        (album / inner).mkdir(parents=True)
    names = ("b/c d/one.jpg", "ünïcode/two\nlines.png", ".hidden.jpg", ".thumbnails/small.jpg", "@eaDir/small.jpg")
    for number, name in enumerate(names, start=1):
        picture(number).save(album / name)
    picture(6).save(album / "a.txt", "JPEG")
    picture(7).save(os.fsencode(album) + b"/latin-\xe9.bmp")
    picture(8, 1000, 500).save(album / "wide.webp")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    turned.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    picture(9).save(album / "b/turned.jpg", exif=turned)
    shutil.copy(album / "b/c d/one.jpg", album / "z copy.jpg")
    Image.open(album / "b/c d/one.jpg").save(album / "z pixels.png")
    picture(10, 30, 200).save(album / "small.png")
    picture(11, 800, 700).save(album / "large.png")
    (album / "notes.jpg").write_text("no photo")
    (album / "zero.jpg").touch()
    (album / "cut.jpg").write_bytes((album / "b/c d/one.jpg").read_bytes()[:2000])
    (album / "gone.jpg").symlink_to("nowhere.jpg")
    (album / "b/up").symlink_to("..")
    os.mkfifo(album / "pipe.jpg")
    return album


SETTINGS = {"max_megapixels": 0.55, "max_side": 640, "exclude": ["empty"]}


@pytest.fixture(scope="module")
def collected(tmp_path_factory, album):
    def states() -> dict[Path, tuple[int, int]]:
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in [album, *album.rglob("*")]}

    study, before = study_of(tmp_path_factory.mktemp("study"), album, **SETTINGS), states()
    collect_photos(study)
    assert states() == before
    return study


def test_the_outcome_of_each_file(collected):
    photos = read_table(collected.photos, "photos")
    names = ["a.txt", "b/c d/one.jpg", "b/turned.jpg", "latin-\\xe9.bmp", "wide.webp", "ünïcode/two\\nlines.png"]
    assert photos["path"].tolist() == names
    assert photos["photo_id"].tolist() == list(range(6))
    assert photos[["width", "height"]].values.tolist() == [[96, 72], [96, 72], [72, 96], [96, 72], [1000, 500], [96, 72]]
    assert set(photos["source"]) == {"folder"}
    left_out = read_table(collected.photos, "left_out")
    assert left_out.groupby("reason")["path"].apply(list).to_dict() == {
        "duplicate": ["b/up", "z copy.jpg", "z pixels.png"],
        "empty": ["zero.jpg"],
        "excluded": [".hidden.jpg", ".thumbnails", "@eaDir", "empty"],
        "not an image": ["notes.jpg", "pipe.jpg"],
        "not decodable": ["cut.jpg"],
        "too large": ["large.png"],
        "too small": ["small.png"],
        "unreadable": ["gone.jpg"],
    }
    details = ["same file as b/c d/one.jpg", "same pixels as b/c d/one.jpg"]
    assert left_out.loc[left_out["path"].str.startswith("z "), "detail"].tolist() == details


def test_the_copies(collected, album):
    photos = read_table(collected.photos, "photos").set_index("path")
    copy = {path: collected.image(photo_id) for path, photo_id in photos["photo_id"].items()}
    assert sorted(copy.values()) == sorted((collected.photos / "images").iterdir())
    for path in copy.values():
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert max(image.size) <= 640
            assert ExifTags.Base.Orientation not in image.getexif()
    assert copy["a.txt"].read_bytes() == (album / "a.txt").read_bytes()
    with Image.open(copy["b/turned.jpg"]) as image:
        assert image.size == (72, 96)
        assert image.getexif().get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.FocalLengthIn35mmFilm: 28}
        stored = Image.open(album / "b/turned.jpg").transpose(Image.Transpose.ROTATE_270)
        assert np.abs(np.asarray(image, int) - np.asarray(stored, int)).mean() < 25
    with Image.open(copy["wide.webp"]) as image:
        assert image.size == (640, 320)


def test_the_number_of_processes_changes_nothing(tmp_path, album, collected):
    study = study_of(tmp_path, album, threads=1, **SETTINGS)
    collect_photos(study)
    assert contents(study.photos) == contents(collected.photos)


def test_changes_in_the_folder_are_noticed(tmp_path):
    """A photo that is gone, and a link whose target changed; without a change, nothing is done."""
    album, target = tmp_path / "album", tmp_path / "target.jpg"
    album.mkdir()
    for number, path in enumerate([*(album / f"{number}.jpg" for number in range(3)), target]):
        picture(number).save(path)
    (album / "link.jpg").symlink_to(target)
    study = study_of(tmp_path / "study", album, threads=1)
    collect_photos(study)
    assert study.image(3).read_bytes() == target.read_bytes()
    written = study.image(0).stat().st_mtime_ns
    collect_photos(study)
    assert study.image(0).stat().st_mtime_ns == written
    (album / "0.jpg").unlink()
    picture(4).save(target)
    os.utime(target, ns=(0, 5))
    collect_photos(study)
    assert sorted(contents(study.photos)) == [*(f"images/000000{k}.jpg" for k in range(3)), "left_out.parquet", "photos.parquet"]
    assert study.image(0).read_bytes() == (album / "1.jpg").read_bytes()
    assert study.image(2).read_bytes() == target.read_bytes()
    assert not (study.root / "work/photos").exists()


@pytest.mark.parametrize(
    ("files", "counts"), [({}, "it is empty"), ({"a": "", "b": "b", "c": "c"}, "2 not an image, 1 empty; for example a: 0 bytes")]
)
def test_no_photos_to_start_from(files, counts, tmp_path):
    (tmp_path / "album").mkdir()
    for file, text in files.items():
        (tmp_path / "album" / file).write_text(text)
    study = study_of(tmp_path / "study", tmp_path / "album")
    with pytest.raises(StudyError, match=rf"photos\.folder: .*album .*\({counts}\)"):
        collect_photos(study)
    assert not study.photos.exists()


KILLED = """
import os, sys
from pathlib import Path
from bcdh_lib.params import load_params
from bcdh_lib.photos import collect
from bcdh_lib.study import Study
def kill_at_the_fifth(photo, noted=[]):
    noted.append(photo)
    if len(noted) == 5:
        os.kill(os.getpid(), 9)
    return asdict(photo)
asdict, collect.asdict = collect.asdict, kill_at_the_fifth
root, photos = map(Path, sys.argv[1:])
params = load_params(root / "params.yaml", {"photos": {"source": "folder", "folder": str(photos)}})
collect.collect_photos(Study(root, params))
"""


def test_a_killed_run_goes_on_from_its_finished_photos(tmp_path, monkeypatch):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(8):
        picture(number).save(album / f"{number}.png")
    study = study_of(tmp_path / "study", album)
    run = subprocess.run([sys.executable, "-c", KILLED, study.root, album], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not study.photos.exists()
    notes = next((study.root / "work/photos").glob("*/finished.jsonl"))
    notes.write_text(notes.read_text() + '{"path": "7.p')  # as if cut in the middle of a note
    picture(100).save(album / "1.png")  # changed since it was noted
    decoded = []
    decode_all = collect.decode_all
    monkeypatch.setattr(collect, "decode_all", lambda work, jobs, n: decode_all(work, decoded.extend(jobs) or jobs, n))
    collect_photos(study)
    assert [path for path, _ in decoded] == ["1.png", "4.png", "5.png", "6.png", "7.png"]
    undisturbed = study_of(tmp_path / "undisturbed", album)
    collect_photos(undisturbed)
    assert contents(study.photos) == contents(undisturbed.photos)
