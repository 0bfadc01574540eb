"""An index follows its photos: only what changed is encoded; killed anywhere it ends as if undisturbed; no code is lost."""

import os
import shutil
from contextlib import suppress
from functools import partial
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from killing import compare_with_kills
from PIL import Image

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked
from bcdh_lib.search import index_update
from bcdh_lib.search.encoder import outputs_of, read_view
from bcdh_lib.search.index_update import read_list, update_index
from bcdh_lib.search.photo_index import open_index
from bcdh_lib.training.checkpoint import load_checkpoint
from tests.helpers import contents, refused

PHOTOS = ["0.png", "2.png", "4.png", "inner/1.png", "inner/3.png", "inner/5.png"]


def paths_of(folder):
    return open_index(folder).photos()["path"].tolist()


def left_out(done):
    return {one.path: one.reason for one in done.left_out}


@pytest.fixture
def index(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def big_album(tmp_path, draw_photo):
    """40 photos: 20 in `a`, 20 in `b`."""
    for number in range(40):
        draw_photo(tmp_path / f"big/{'ab'[number % 2]}/{number:02}.png", number)
    return tmp_path / "big"


def test_a_new_index(album, checkpoint, index, taken):
    before = contents(album)
    done = update_index(index, album, checkpoint)
    assert (done.photos, done.new, done.changed, done.moved, done.gone, done.centred_on) == (6, 6, 0, 0, 0, 6)
    assert left_out(done) == {"notes.jpg": "not an image"}
    assert contents(album) == before
    rows = open_index(index)
    assert rows.photos()["path"].tolist() == PHOTOS
    assert isinstance(rows.codes, np.memmap)
    assert pd.read_csv(index / "left_out.csv")["path"].tolist() == ["notes.jpg"]
    names = ["index.json", "lock", "model.json", "model.safetensors", "left_out.csv", open_index(index).facts.rows]
    assert sorted(path.name for path in index.iterdir()) == sorted(names)


def test_codes_are_those_of_the_study(album, checkpoint, index, tmp_path, taken, params):
    """The network on what the photos stage keeps (test_evaluation.py); recentred, the signs about the shrunken mean."""
    views = [read_view((path, album / path), params.photos, params.network.side).values for path in PHOTOS]
    outputs = outputs_of(load_checkpoint(checkpoint)[0], np.concatenate(views))
    update_index(index, album, checkpoint, recentre=False)
    assert (open_index(index).codes == pack(outputs)).all()
    assert open_index(index).facts.centred_on == 0
    update_index(tmp_path / "recentred", album, checkpoint)
    rows = open_index(tmp_path / "recentred")
    np.testing.assert_allclose(rows.centre, outputs.mean(0) * 6 / (6 + index_update.PRIOR), rtol=1e-5, atol=1e-6)
    assert (rows.codes == pack(outputs - rows.centre)).all()


def test_only_what_changed_is_encoded_and_all_is_as_in_a_new_index(album, checkpoint, index, tmp_path, taken, draw_photo):
    update_index(index, album, checkpoint, recentre=False)
    taken.clear()
    assert update_index(index, album).new == 0
    assert taken == ["notes.jpg"]
    draw_photo(album / "2.png", 20)
    (album / "inner/3.png").unlink()
    draw_photo(album / "a.png", 30)
    (album / "4.png").write_bytes((album / "4.png").read_bytes()[:60])  # cut
    taken.clear()
    done = update_index(index, album)
    assert taken == ["2.png", "4.png", "a.png", "notes.jpg"]
    assert (done.photos, done.new, done.changed, done.gone) == (5, 1, 1, 2)
    assert left_out(done) == {"4.png": "not decodable", "notes.jpg": "not an image"}
    update_index(tmp_path / "other", album, checkpoint, recentre=False)
    assert contents(index) == contents(tmp_path / "other")


def test_recentring_keeps_its_thresholds_until_it_is_done_again(album, checkpoint, index, tmp_path, taken, draw_photo):
    update_index(index, album, checkpoint)
    first = open_index(index)
    shares = (unpack(first.codes) > 0).mean(0)
    assert ((shares > 0) & (shares < 1)).mean() > 0.8
    draw_photo(album / "z.png", 40)
    taken.clear()
    update_index(index, album)
    assert taken == ["notes.jpg", "z.png"]
    assert (open_index(index).centre == first.centre).all()
    assert (open_index(index).codes[:6] == first.codes).all()
    done = update_index(index, album, recentre=True)
    assert (done.changed, done.centred_on) == (7, 7)
    assert (open_index(index).centre != first.centre).any()
    update_index(tmp_path / "other", album, checkpoint)
    assert contents(index) == contents(tmp_path / "other")


class Stop(BaseException):
    """The process ends here."""


def stop_before(patched, step):
    """Raise Stop before the rename or removal of that number; returns what they were called with."""
    steps = []

    def counting(really, *arguments, **named):
        steps.append(arguments)
        if len(steps) == step + 1:
            raise Stop
        return really(*arguments, **named)

    patched.setattr(os, "replace", partial(counting, os.replace))
    patched.setattr(shutil, "rmtree", partial(counting, shutil.rmtree))
    return steps


@pytest.mark.parametrize("case", ["first", "update", "recentred"])
def test_stopped_before_any_write(album, checkpoint, index, tmp_path, taken, monkeypatch, draw_photo, case):
    """Stopped before each of its renames and removals it ends as if undisturbed; meanwhile a search finds old or new rows."""
    old, undisturbed = tmp_path / "old", tmp_path / "undisturbed"
    monkeypatch.setattr(index_update, "PART_SECONDS", 0)
    model, recentre = (checkpoint, None) if case == "first" else (None, case == "recentred")
    if case == "first":
        old.mkdir()
    else:
        update_index(old, album, checkpoint)
    shutil.copytree(old, undisturbed)
    draw_photo(album / "2.png", 20)
    (album / "inner/3.png").unlink()
    update_index(undisturbed, album, model, recentre=recentre)
    for stop_at in range(100):
        shutil.rmtree(index, ignore_errors=True)
        shutil.copytree(old, index)
        with monkeypatch.context() as patched:
            steps = stop_before(patched, stop_at)
            with suppress(Stop):
                update_index(index, album, model, recentre=recentre)
        if case != "first":
            assert len(paths_of(index)) in (5, 6)
        again = recentre and open_index(index).photos()["path"].tolist() != paths_of(undisturbed)
        update_index(index, album, model, recentre=None if case == "first" else again)
        assert contents(index) == contents(undisturbed)
        if len(steps) <= stop_at:
            break
    assert stop_at > 3


def test_killed_at_random_moments_it_ends_as_an_undisturbed_run(checkpoint, tmp_path):
    """kill -9 of the real command and its workers; `python performance/killing.py 20` does it at length."""
    assert compare_with_kills(tmp_path, checkpoint, rounds=1, photos=40, seed=int.from_bytes(os.urandom(4))) >= 1


def test_a_killed_update_goes_on_from_its_parts(big_album, checkpoint, index, monkeypatch, taken, draw_photo):
    """A part of a photo changed since, and a part broken on disk, do not count."""
    monkeypatch.setattr(index_update, "PART_SECONDS", 0)
    with monkeypatch.context() as patched:
        patched.setattr(index_update, "publish", Mock(side_effect=Stop))
        with pytest.raises(Stop):
            update_index(index, big_album, checkpoint)
    with pytest.raises(StudyError, match="is no index"):
        open_index(index)
    parts = sorted(index.glob("unfinished/*/*.parquet"))
    assert len(parts) == 2  # 32 photos, 8 photos
    shutil.copytree(parts[0].parent, parts[0].parent.with_name("of another model"))
    parts[1].write_bytes(parts[1].read_bytes()[:-20])
    draw_photo(big_album / "a/00.png", 50)
    taken.clear()
    assert update_index(index, big_album, checkpoint).new == 40
    assert taken == ["a/00.png", *(f"b/{number}.png" for number in range(25, 40, 2))]


def test_moved_and_copied_photos_keep_their_codes(big_album, checkpoint, index, tmp_path, taken):
    update_index(index, big_album, checkpoint)
    before = open_index(index)
    (big_album / "a").rename(big_album / "2019")
    shutil.copy(big_album / "b/01.png", big_album / "copy.png")
    taken.clear()
    done = update_index(index, big_album)
    assert (taken, done.photos, done.moved, done.gone, done.missing) == ([], 41, 21, 0, 0)
    after = open_index(index)
    codes = dict(zip(before.photos()["path"], before.codes.tolist(), strict=True))
    for path, code in zip(after.photos()["path"], after.codes.tolist(), strict=True):
        assert code == codes["b/01.png" if path == "copy.png" else path.replace("2019", "a")]
    big_album.rename(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match=r"is the index of .*big; add --moved"):
        update_index(index, tmp_path / "elsewhere")
    assert update_index(index, tmp_path / "elsewhere", moved=True).photos == 41
    assert (taken, open_index(index).facts.photos.folder) == ([], str(tmp_path / "elsewhere"))


def test_many_missing_photos_go_only_at_the_second_time_or_if_told_so(big_album, checkpoint, index, tmp_path, taken):
    update_index(index, big_album, checkpoint)
    (big_album / "a").rename(tmp_path / "away")
    done = update_index(index, big_album)
    assert (done.photos, done.missing, done.gone) == (40, 20, 0)
    (tmp_path / "away").rename(big_album / "a")
    assert update_index(index, big_album).missing == 0
    shutil.rmtree(big_album / "a")
    assert update_index(index, big_album).missing == 20
    assert (update_index(index, big_album).gone, len(paths_of(index))) == (20, 20)
    shutil.rmtree(big_album / "b")
    with pytest.raises(StudyError, match="holds no usable photo"):  # an index is never emptied
        update_index(index, big_album, forget_missing=True)
    assert len(paths_of(index)) == 20


def test_photos_below_a_folder_that_cannot_be_read_stay(big_album, checkpoint, index, taken, monkeypatch):
    update_index(index, big_album, checkpoint)
    really = os.scandir

    def scandir(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = update_index(index, big_album)
    assert (done.photos, done.unreadable, done.gone) == (40, 20, 0)
    assert left_out(done) == {"a": "unreadable"}
    with pytest.raises(StudyError, match="20 photos of the index cannot be read now"):
        update_index(index, big_album, recentre=True)
    assert update_index(index, big_album, forget_missing=True).photos == 20


def test_a_jpeg_that_lacks_its_end_is_used_and_counted(album, checkpoint, index, taken):
    Image.open(album / "2.png").save(album / "cut.jpg")
    (album / "cut.jpg").write_bytes((album / "cut.jpg").read_bytes()[:-2])
    done = update_index(index, album, checkpoint)
    assert (done.photos, done.cut) == (7, 1)
    assert update_index(index, album).cut == 0


def test_a_list_of_photos(album, checkpoint, index, tmp_path, taken):
    """Paths below it, next to it and absolute; one twice, one with another system's end of line, one that is not there."""
    update_index(tmp_path / "whole", album, checkpoint, recentre=False)
    whole = open_index(tmp_path / "whole")
    (tmp_path / "lists").mkdir()
    photos = tmp_path / "lists/some.TXT"
    (tmp_path / "lists/a.png").write_bytes((album / "0.png").read_bytes())
    photos.write_text(f"a.png\r\n\n../album/inner/1.png\n{album}/4.png\n./a.png\ngone.png\n{album}/inner\n")
    done = update_index(index, photos, checkpoint, recentre=False)
    assert (done.photos, left_out(done)) == (3, {"gone.png": "unreadable", f"{album}/inner": "not an image"})
    rows = open_index(index)
    assert rows.photos()["path"].tolist() == [f"{album}/4.png", f"{album}/inner/1.png", "a.png"]
    places = whole.photos()["path"].tolist()
    assert (rows.codes == whole.codes[[places.index(path) for path in ("4.png", "inner/1.png", "0.png")]]).all()
    assert left_out(update_index(index, photos, changes={"exclude": ["inner"]}))[f"{album}/inner/1.png"] == "excluded"
    photos.write_text("a.png\n")
    taken.clear()
    assert (update_index(index, photos).gone, taken) == (1, [])
    with pytest.raises(StudyError, match=r"is the index of .*some\.TXT"):
        update_index(index, album)


@pytest.mark.parametrize(
    "content",
    [b"a.png\nb c.png\n", b"a.png\0b c.png\0", b"\xef\xbb\xbfa.png\r\nb c.png", "\ufeffa.png\r\nb c.png\r\n".encode("utf-16-le")],
)
def test_lists_as_programs_write_them(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_list(tmp_path / "list.txt") == ["a.png", "b c.png"]


def test_a_link_whose_target_changed_is_noticed(album, checkpoint, index, tmp_path, taken, draw_photo):
    draw_photo(tmp_path / "target.png", 60)
    (album / "link.png").symlink_to(tmp_path / "target.png")
    update_index(index, album, checkpoint)
    draw_photo(tmp_path / "target.png", 61)
    assert update_index(index, album).changed == 1


def test_a_photo_that_changes_while_it_is_indexed(album, checkpoint, index, taken, monkeypatch, draw_photo):
    def changing(job, **named):
        if job[0] == "2.png":
            draw_photo(album / "2.png", 20)
        return read_view(job, **named)

    with monkeypatch.context() as patched:
        patched.setattr(index_update, "read_view", changing)
        assert update_index(index, album, checkpoint).photos == 6
    done = update_index(index, album)
    assert (done.photos, done.new, done.changed) == (6, 0, 0)


def test_what_others_put_into_an_index_stays(album, checkpoint, index, taken, draw_photo):
    update_index(index, album, checkpoint)
    (index / "answers").mkdir()
    (index / "answers/tower.html").touch()
    draw_photo(album / "2.png", 20)
    update_index(index, album)
    assert (index / "answers/tower.html").exists()
    assert len(list(index.glob("*/"))) == 2  # and the rows


def test_two_writers(album, checkpoint, index, taken):
    update_index(index, album, checkpoint)
    before = contents(index)
    with locked(index / "lock"):
        with pytest.raises(StudyError, match=rf"lock: held by process {os.getpid()} on .* since"):
            update_index(index, album)
        assert len(open_index(index).search([album / "0.png"], 3)[0].hits) == 3  # it may be searched meanwhile
    update_index(index, album)
    assert contents(index) == before


def test_a_full_disk_is_one_line(album, checkpoint, index, taken, monkeypatch):
    update_index(index, album, checkpoint)
    before = contents(index)
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("bcdh_lib.search.photo_index.write_array", full)
    with pytest.raises(StudyError, match=r"index: No space left on device; make room"):
        update_index(index, album)
    monkeypatch.undo()
    assert contents(index)["index.json"] == before["index.json"]


def test_limits_can_change_but_what_is_refused_changes_nothing(album, checkpoint, untrained, index, tmp_path, taken):
    update_index(index, album, checkpoint)
    update_index(index, album, changes={"max_megapixels": 500.0})
    assert open_index(index).facts.photos.max_megapixels == 500
    before = contents(index)
    (tmp_path / "second").mkdir()
    refusals = [
        ((index, album, untrained(16, seed=4)), "codes are those of another model"),
        ((index, album, untrained(None)), "gives real vectors"),
        ((index, album, tmp_path / "gone.safetensors"), r"gone\.safetensors: is no checkpoint"),
        ((index, tmp_path / "second", checkpoint), "is the index of .*album"),
        ((index, tmp_path / "nowhere"), "nowhere: does not exist"),
        ((index, checkpoint), "neither a folder nor a list"),
        ((album / "index", album, checkpoint), "is inside the folder of photos"),
        ((tmp_path, tmp_path / "second", checkpoint), "holds .* and is no index"),
        ((checkpoint, album, checkpoint), "is a file"),
        ((tmp_path / "of nothing", tmp_path / "second", checkpoint), r"second: holds no usable photo \(it is empty\)"),
    ]
    for arguments, message in refusals:
        with refused(message):
            update_index(*arguments)
    with pytest.raises(StudyError, match=r"photos\.max_megapixels"):
        update_index(index, album, changes={"max_megapixels": -1.0})
    assert contents(index) == before
    assert not (album / "index").exists()
