"""The page of what was found: whole in itself, words for every picture, names as they are, photos gone since."""

import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import ExifTags, Image

from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.search.contact_sheet import SIDE, contact_sheet, thumbnail
from bcdh_lib.search.index_update import update
from bcdh_lib.search.photo_index import Hit, open_index
from bcdh_lib.study import Study


@pytest.fixture
def index(album, checkpoint, params, tmp_path, taken):
    (album / "<b>&\"c'.png").write_bytes((album / "4.png").read_bytes())
    update(tmp_path / "index", album, checkpoint, Study(tmp_path, params))
    return open_index(tmp_path / "index")


def tags_of(page):
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Tags().feed(page)
    return found


def test_the_page(index, album):
    queries = [album / "4.png", album / "inner/1.png"]
    found = index.search(queries, 3)
    (album / "inner/1.png").unlink()
    tags = tags_of(contact_sheet(index, queries, found))
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    assert not [attributes for tag, attributes in tags if "href" in attributes or tag in ("script", "link", "b>")]
    distance = found[0][0].distance
    assert pictures[0]["alt"] == f"The query photo {album}/4.png"
    assert {picture["alt"] for picture in pictures} >= {f"Place 2: {album}/<b>&\"c'.png, {distance} of 16 bits differ"}
    shown = sum(hit.path != f"{album}/inner/1.png" for hits in found for hit in hits)
    assert len(pictures) == 1 + shown
    assert ("html", {"lang": "en"}) in tags


def test_a_photo_gone_since_is_said_and_a_search_without_hits_has_a_page(index, album):
    page = contact_sheet(index, [album / "4.png"], [[Hit(3, f"{album}/nowhere.png")]])
    assert "This photo cannot be read any more." in page
    assert "<b>3</b> bits" in page
    assert "Place" not in contact_sheet(index, [album / "4.png"], [[]])


def test_a_thumbnail_is_small_and_upright(params, tmp_path):
    prepare_process()
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "turned.jpg", exif=turned)
    with Image.open(io.BytesIO(base64.b64decode(thumbnail(tmp_path / "turned.jpg", params.photos)))) as small:
        assert small.size == (SIDE // 2, SIDE)
    assert thumbnail(tmp_path / "nowhere.jpg", params.photos) == ""
    (tmp_path / "text.jpg").write_text("text")
    assert thumbnail(tmp_path / "text.jpg", params.photos) == ""
