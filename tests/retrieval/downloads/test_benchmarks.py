"""A published benchmark is put into place whole or not at all, in the form that the readers of benchmarks take."""

import hashlib
import pickle
import shutil
import subprocess

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.holidays import read_holidays
from bcdh_lib.retrieval.benchmarks.oxford_paris import read_oxford_paris
from bcdh_lib.retrieval.downloads import benchmarks
from bcdh_lib.retrieval.downloads.benchmarks import PUBLISHED, Published, Source, download, main
from tests.retrieval.downloads.conftest import archive, good, status

PHOTOS = archive(
    ("paris/defense/hall_1.jpg", b"1"), ("paris/defense/hall_2.jpg", b"2"), ("paris/defense/broken_3.jpg", b"<html>")
)
TRUTH = archive(
    ("hall_1_query.txt", b"hall_1 1 2 30 40\n"),
    ("hall_1_good.txt", b"hall_1\nbroken_3\n"),
    ("hall_1_ok.txt", b"hall_2\n"),
    ("hall_1_junk.txt", b"broken_3\n"),
    ("README.txt", b"not a ground truth"),
)
SUM = hashlib.sha256(PHOTOS).hexdigest()


def published(server, photos_sum=None, unzipped=100_000):
    sources = (Source(f"{server.url}/photos.tgz", 10_000, photos_sum), Source(f"{server.url}/truth.tgz", 10_000))
    return Published(sources, 2, unzipped, ("images/*.jpg", "groundtruth/*_query.txt"), frozenset({"broken_3"}))


@pytest.fixture
def here(server, tmp_path):
    server.paths = {"photos.tgz": good(PHOTOS), "truth.tgz": good(TRUTH)}
    return tmp_path / "data/benchmarks"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_by_hand(server, here, capsys):
    download("paris6k", published(server), here)
    benchmark = read_oxford_paris(here / "paris6k", corrupt={"broken_3"})
    assert list(benchmark.photos) == ["hall_1", "hall_2"]
    assert benchmark.positive().tolist() == [[True, True]]
    assert names(here / "paris6k/groundtruth") == [f"hall_1_{kind}.txt" for kind in ("good", "junk", "ok", "query")]
    assert names(here) == ["SHA256SUMS", "archives", "paris6k"]
    told = capsys.readouterr().out
    assert f"photos.tgz: sha256 {SUM}; its publisher gives none" in told
    assert "2 photos;" in told


def test_there_already(server, here, capsys):
    download("paris6k", published(server), here)
    server.asked.clear()
    download("paris6k", published(server), here)
    assert "is there already" in capsys.readouterr().out
    assert server.asked == []


def test_a_second_benchmark_of_the_same_photos_fetches_them_no_more(server, here):
    download("paris6k", published(server), here)
    server.asked.clear()
    download("again", published(server), here)
    assert server.asked == []
    assert names(here / "again") == names(here / "paris6k")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_the_record_is_sha256sums_own_form(server, here):
    download("paris6k", published(server), here)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=here, check=True)


def test_a_later_run_notices_a_change(server, here):
    download("paris6k", published(server), here)
    shutil.rmtree(here / "archives")
    server.paths["photos.tgz"] = good(archive(("hall_1.jpg", b"other")), tag='"2"')
    with pytest.raises(StudyError, match=rf"an earlier run found {SUM}"):
        download("again", published(server), here)
    assert names(here) == ["SHA256SUMS", "archives", "paris6k"]
    assert SUM in (here / "SHA256SUMS").read_text()


def test_a_record_that_is_no_text_is_named(server, here):
    here.mkdir(parents=True)
    (here / "SHA256SUMS").write_bytes(b"\xff")
    with pytest.raises(StudyError, match=r"SHA256SUMS: is no text \(.*\); remove it"):
        download("paris6k", published(server), here)
    assert (here / "SHA256SUMS").read_bytes() == b"\xff"


def test_a_published_checksum_is_held(server, here, capsys):
    download("paris6k", published(server, SUM), here)
    assert "photos.tgz: sha256" not in capsys.readouterr().out
    with pytest.raises(StudyError, match=rf"photos.tgz: has sha256 {SUM}, published is 0000"):
        download("again", published(server, "0" * 64), here)
    assert names(here / "archives") == [".lock", "truth.tgz"]
    assert names(here) == ["SHA256SUMS", "archives", "paris6k"]


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (good(archive(("hall_1.jpg", b"1"), ("../evil.jpg", b"x"))), r"holds '\.\./evil\.jpg'"),
        (good(archive(("README", b""))), r"hold no images/\*\.jpg"),
        (good(archive(("hall_1.jpg", bytes(200_000)))), "unzips to more than"),
        (good(PHOTOS[:-20]), "is damaged or cut short"),  # as from a server that announces too short a length
        (status(404), "the server answers 404"),
        (status(500), "the server answers 500"),
        (good(PHOTOS, cut=50), None),
    ],
)
def test_nothing_is_half_placed(server, here, photos, message):
    server.paths["photos.tgz"] = photos
    wanted = published(server)
    if message is None:
        download("paris6k", wanted, here, pause=0)  # broken connections only take longer
        assert names(here / "paris6k/images") == ["hall_1.jpg", "hall_2.jpg"]
        return
    with pytest.raises(StudyError, match=message):
        download("paris6k", wanted, here, pause=0)
    assert names(here) == ["archives"]
    (here / "archives/photos.tgz").unlink(missing_ok=True)
    server.paths["photos.tgz"] = good(PHOTOS)
    download("paris6k", wanted, here)
    assert names(here / "paris6k/images") == ["hall_1.jpg", "hall_2.jpg"]


def test_a_killed_run_leaves_no_benchmark_and_what_it_left_is_not_used(server, here, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(benchmarks.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            download("paris6k", published(server), here)
    assert not (here / "paris6k").exists()
    (here / "paris6k.part/images").mkdir(parents=True)
    (here / "paris6k.part/images/stale.jpg").touch()
    download("paris6k", published(server), here)
    assert names(here / "paris6k/images") == ["hall_1.jpg", "hall_2.jpg"]
    assert names(here) == ["SHA256SUMS", "archives", "paris6k"]


def test_too_little_room_is_told_before_anything_is_fetched(server, here):
    wanted = published(server, unzipped=10**18)
    with pytest.raises(StudyError, match=r"up to 1,000,000,000,000,020,000 bytes are needed"):
        download("paris6k", wanted, here)
    assert server.asked == []


def test_two_at_once(server, here):
    with benchmarks._alone(here), pytest.raises(StudyError, match="another download is at work"):
        download("paris6k", published(server), here)


def test_a_pickle_of_ground_truth(server, here):
    truth = pickle.dumps({"imlist": ["hall_1"], "qimlist": ["hall_2"], "gnd": []})
    server.paths["gnd_roxford5k.pkl"] = good(truth[:-3])
    sources = (Source(f"{server.url}/photos.tgz", 10_000), Source(f"{server.url}/gnd_roxford5k.pkl", 10_000))
    wanted = Published(sources, 3, 100_000, ("images/*.jpg", "gnd_roxford5k.pkl"))
    with pytest.raises(StudyError, match=r"gnd_roxford5k.pkl: is no pickle"):
        download("roxford5k", wanted, here)
    assert names(here) == ["archives"]
    server.paths["gnd_roxford5k.pkl"] = good(truth)
    download("roxford5k", wanted, here)
    assert (here / "roxford5k/gnd_roxford5k.pkl").read_bytes() == truth
    assert names(here / "roxford5k/images") == ["broken_3.jpg", "hall_1.jpg", "hall_2.jpg"]


def test_holidays_in_two_archives(server, here):
    server.paths = {f"jpg{part}.tar.gz": good(archive((f"jpg/10000{part}.jpg", b"x"))) for part in (0, 1)}
    sources = tuple(Source(f"{server.url}/jpg{part}.tar.gz", 10_000) for part in (0, 1))
    download("holidays", Published(sources, 2, 100_000, ("images/*.jpg",)), here)
    assert [query.positives for query in read_holidays(here / "holidays").queries] == [{"100001"}]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_named_consistently(name):
    wanted = PUBLISHED[name]
    files = [source.name for source in wanted.sources]
    assert len(set(files)) == len(files)
    assert all(file.endswith((".tgz", ".tar.gz", ".pkl")) for file in files)
    assert ("groundtruth/*_query.txt" in wanted.holds) == (name in ("oxford5k", "paris6k"))
    assert (f"gnd_{name}.pkl" in wanted.holds) == (f"gnd_{name}.pkl" in files) == name.startswith("r")


def test_the_command_line(capsys, monkeypatch):
    def fail(*_):
        raise StudyError("photos.tgz: is not there")

    monkeypatch.setattr(benchmarks, "download", fail)
    assert main(["oxford5k"]) == 1
    assert capsys.readouterr().err == "photos.tgz: is not there\n"
    with pytest.raises(SystemExit):
        main([""])
    assert "oxford5k" in capsys.readouterr().err
