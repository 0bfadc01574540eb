"""The page of what was found: complete in itself, words for every picture, links, names as they are, photos gone since."""

import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import ExifTags, Image

from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.photo_file import LeftOut
from bcdh_lib.search.contact_sheet import SIDE, contact_sheet, thumbnail
from bcdh_lib.search.index_update import update_index
from bcdh_lib.search.photo_index import Answer, Hit, open_index


@pytest.fixture
def index(album, checkpoint, tmp_path, taken):
    (album / "<b>&\"c'.png").write_bytes((album / "4.png").read_bytes())
    update_index(tmp_path / "index", album, checkpoint)
    return open_index(tmp_path / "index")


def tags_of(page):
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Tags().feed(page)
    return found


def test_the_page(index, album):
    answers = index.search([album / "4.png", album / "inner/1.png"], 3)
    (album / "inner/1.png").unlink()
    answers.append(Answer(album / "notes.jpg", [], LeftOut("notes.jpg", "not an image", "")))
    tags = tags_of(contact_sheet(index, answers))
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    links = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert links == {(album / hit.path).as_uri() for answer in answers for hit in answer.hits}
    assert not [tag for tag, attributes in tags if tag in ("script", "link", "b>")]
    assert pictures[0]["alt"] == f"The query photo {album}/4.png"
    assert [picture for picture in pictures if picture["alt"].startswith(f"Place 2: {album}/<b>&\"c'.png, at 0 of 16 bits")]
    found = sum(hit.path != f"{album}/inner/1.png" for answer in answers for hit in answer.hits)
    assert len(pictures) == 1 + found


def test_a_photo_gone_since_and_no_hit(index, album):
    page = contact_sheet(index, [Answer(album / "4.png", [Hit(3, f"{album}/nowhere.png", 2)])])
    assert "<b>3</b> bits, 2 equal photos" in page
    assert len([tag for tag, _ in tags_of(page) if tag == "img"]) == 1
    assert "Place" not in contact_sheet(index, [Answer(album / "4.png", [])])


def test_a_thumbnail_is_small_and_upright(params, tmp_path):
    prepare_process()
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "turned.jpg", exif=turned)
    with Image.open(io.BytesIO(base64.b64decode(thumbnail(tmp_path / "turned.jpg", params.photos)))) as small:
        assert small.size == (SIDE // 2, SIDE)
    (tmp_path / "text.jpg").write_text("text")
    assert thumbnail(tmp_path / "nowhere.jpg", params.photos) == thumbnail(tmp_path / "text.jpg", params.photos) == ""
