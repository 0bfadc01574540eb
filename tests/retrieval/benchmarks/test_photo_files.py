"""The look at every photo before encoding: boxes, broken files, each opened once."""

import pytest
from PIL import Image

from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.photo_files import photos_in, require_photos
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, read_revisited
from tests.helpers import refused


def with_box(path, box):
    return Benchmark("made_up", {"a": path}, [Query("q", "a", box, frozenset("a"), frozenset())])


def test_three_protocols_open_each_photo_once(roxford, monkeypatch):
    opened, original = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path.name) or original(path))
    require_photos(read_revisited(roxford, protocol) for protocol in PROTOCOLS)
    assert sorted(opened) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "q.jpg", "r.jpg"]


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (39, 29, 40.9, 30.9), None])
def test_boxes_inside_and_none(roxford, box):
    require_photos([with_box(roxford / "jpg/a.jpg", box)])


@pytest.mark.parametrize("box", [(0, 0, 42, 30), (0, 0, 40, 32), (90, 90, 99, 99)])
def test_a_box_outside_its_photo_is_named(roxford, box):
    with refused(r"jpg/a\.jpg: query q's box .* exceeds the photo of 40 x 30 px; put"):
        require_photos([with_box(roxford / "jpg/a.jpg", box)])


@pytest.mark.parametrize("content", [b"", b"<html>302 Found</html>", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\x89PNG\r\n\x1a\n", None])
@pytest.mark.parametrize("name", ["a", "q"])
def test_an_unreadable_photo_or_none_is_told_in_a_line(roxford, content, name):
    benchmark, photo = read_revisited(roxford, "hard"), roxford / f"jpg/{name}.jpg"
    photo.unlink() if content is None else photo.write_bytes(content)
    with refused(rf"jpg/{name}\.jpg: cannot be read as a photo .* unpack it again"):
        require_photos([benchmark])


def test_photos_lie_in_images_or_jpg(tmp_path):
    for place in ("jpg", "images"):
        (tmp_path / place).mkdir()
        with refused(rf"{place}: has no \.jpg; put"):
            photos_in(tmp_path)
        (tmp_path / f"{place}/{place}.jpg").touch()
        assert list(photos_in(tmp_path)) == [place]
