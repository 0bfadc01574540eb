"""Downloads from a server on this machine: right bytes, once; wrong ones, cut ones and hostile archives leave nothing behind."""

import functools
import hashlib
import io
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from PIL import Image

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks import FORMS, read_benchmark
from bcdh_lib.retrieval.benchmarks.form import Form, Published
from bcdh_lib.retrieval.download import download, unpack
from bcdh_lib.study import Study
from tests.helpers import refused

NAME = "my_holidays"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; the first `cut` answers break off in the middle."""

    cut = 0
    asked: ClassVar[list[str]] = []

    def copyfile(self, source, outputfile):
        Handler.asked.append(self.path)
        content = source.read()
        Handler.cut, broken = max(0, Handler.cut - 1), Handler.cut > 0
        outputfile.write(content[: len(content) // 2] if broken else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder that is served, and the form of a benchmark whose archive lies there."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Handler, "cut", 0)
    monkeypatch.setattr(Handler, "asked", [])
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    counts = Published(2, 1, (f"http://127.0.0.1:{server.server_port}/photos.tgz",))
    yield folder / "photos.tgz", Form(read=FORMS["holidays"].read, published={NAME: counts})
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def study(tmp_path, params):
    return Study(tmp_path / "study", changed(params, {"retrieval": {"own_benchmarks": {NAME: "holidays"}}}))


def photo():
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG")
    return buffer.getvalue()


def archive(*members):
    """A .tgz of members, each a name or a TarInfo."""
    buffer, content = io.BytesIO(), photo()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content) if info.isfile() else 0
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD = archive("jpg/100000.jpg", "jpg/100001.jpg", "jpg/readme.txt")


def test_right_bytes_recorded_and_downloaded_once(published, study, capsys):
    file, form = published
    file.write_bytes(GOOD)
    download(study, NAME, form)
    assert len(read_benchmark(study, NAME).photos) == 2
    assert (study.benchmarks / NAME / "images/100001.jpg").read_bytes() == photo()
    assert (study.benchmarks / "SHA256SUMS").read_text() == f"{hashlib.sha256(GOOD).hexdigest()}  archives/photos.tgz\n"
    download(study, NAME, form)
    assert "is there already" in capsys.readouterr().out
    (study.benchmarks / NAME).rename(study.benchmarks / "away")
    download(study, NAME, form)
    assert Handler.asked == ["/photos.tgz"]


def test_other_bytes_than_recorded_are_refused_in_one_line(published, study):
    file, form = published
    study.benchmarks.mkdir(parents=True)
    (study.benchmarks / "SHA256SUMS").write_text(f"{'0' * 64}  archives/photos.tgz\n")
    file.write_bytes(GOOD)
    with refused(r"sha256.*SHA256SUMS"):
        download(study, NAME, form, retries=0)
    assert not list((study.benchmarks / "archives").glob("*"))
    assert not (study.benchmarks / NAME).exists()


def test_a_broken_connection_is_tried_again_and_one_that_stays_broken_leaves_nothing(published, study):
    file, form = published
    file.write_bytes(GOOD)
    Handler.cut = 1
    with pytest.raises(StudyError, match="download failed"):
        download(study, NAME, form, retries=0)
    assert not list((study.benchmarks / "archives").glob("*"))
    Handler.cut = 1
    download(study, NAME, form, retries=1)
    assert len(Handler.asked) == 3
    assert read_benchmark(study, NAME).queries


def test_an_absent_file_a_damaged_archive_and_an_incomplete_benchmark(published, study):
    file, form = published
    with pytest.raises(StudyError, match=r"download failed.*404"):
        download(study, NAME, form, retries=0)
    for content in (GOOD[: len(GOOD) // 2], b"<html>", b""):
        file.write_bytes(content)
        with pytest.raises(StudyError, match="is damaged"):
            download(study, NAME, form)
    file.write_bytes(archive("jpg/100000.jpg"))
    with pytest.raises(StudyError, match=r"not the published benchmark: .* 1 photos, not 2"):
        download(study, NAME, form)
    assert not (study.benchmarks / NAME).exists()


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        "../100002.jpg",
        "jpg/../../100002.jpg",
        "/tmp/100002.jpg",
        "..\\100002.jpg",
        "C:\\100002.jpg",
        special("jpg/100002.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("jpg/100002.jpg", tarfile.LNKTYPE, "jpg/100000.jpg"),
        special("jpg/100002.jpg", tarfile.FIFOTYPE),
    ],
)
def test_a_member_outside_its_folder_or_no_plain_file_is_refused(tmp_path, member):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/photos.tgz").write_bytes(archive("jpg/100000.jpg", member))
    with pytest.raises(StudyError, match="outside its folder"):
        unpack(tmp_path / "a/photos.tgz", tmp_path / "a/b")
    assert not list(tmp_path.rglob("*100002*"))
