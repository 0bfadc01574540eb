"""The encoder: the study's own outputs, whatever stands beside a photo; one batch held; nothing to encode."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from bcdh_lib.photos.collect import copy_photo as take
from bcdh_lib.photos.folder import LeftOut, Photo, find_files
from bcdh_lib.search.encoder import Encoded, Encoder, Seen, see
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.training_set import BATCH, encode_kept, keep
from bcdh_lib.training.views import Views


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return Encoder(load_checkpoint(checkpoint)[0], 1)


def seen(folder, params):
    return (see(job, params.photos, params.network.side) for job in find_files(folder)[0].items())


def views_of(paths, side=64):
    return np.concatenate([view.numpy() for view in Views(paths, side)])


def test_the_outputs_are_the_studys(encoder, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(BATCH)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    kept = keep(encoder.network, Views(paths, encoder.network.settings.side), 0, "")
    assert (encoder.outputs(views_of(paths)) == encode_kept(encoder.network, kept).numpy()).all()


def test_a_photos_outputs_depend_on_nothing_beside_it(encoder, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    together = encoder.outputs(views_of(paths))
    assert len(np.unique(together, axis=0)) == 5
    assert all((encoder.outputs(views_of([path]))[0] == row).all() for path, row in zip(paths, together, strict=True))
    assert (encoder.outputs(views_of(paths[::-1]))[::-1] == together).all()


def test_a_network_without_frozen_blocks(params, tmp_path, draw_photo):
    draw_photo(tmp_path / "a.png", 1)
    torch.manual_seed(0)
    whole = HashNetwork(params.network.model_copy(update={"frozen_blocks": 0}), 8).eval()
    views = views_of([tmp_path / "a.png"])
    with torch.no_grad():
        np.testing.assert_allclose(Encoder(whole, 1).outputs(views), whole(torch.from_numpy(views)).numpy(), atol=1e-5)


def test_what_the_network_is_shown_is_what_the_study_shows_it(params, tmp_path):
    """Through the copy of the photos stage: turned upright, bounded at max_side, JPEG, and only then resized."""
    (tmp_path / "album").mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1400, 3), np.uint8))
    noise.save(tmp_path / "album/turned.jpg", exif=exif)
    noise.crop((0, 0, 90, 70)).save(tmp_path / "album/small.jpg")
    copies = tmp_path / "copies"
    copies.mkdir()
    for job, one in zip(find_files(tmp_path / "album")[0].items(), seen(tmp_path / "album", params), strict=True):
        photo = take(job, params.photos, copies)
        assert one.photo == photo
        assert (one.view == views_of([copies / photo.sha256])).all()


def test_lists_in_order(encoder, album, params, monkeypatch):
    (album / "z.png").write_bytes((album / "0.png").read_bytes())
    monkeypatch.setattr("bcdh_lib.search.encoder.BATCH", 4)
    lists = list(encoder.encode(seen(album, params)))
    assert [len(some) for some in lists] == [4, 1, 3]
    photos = {one.photo.path: one.outputs for some in lists for one in some if isinstance(one, Encoded)}
    assert list(photos) == ["0.png", "2.png", "4.png", "inner/1.png", "inner/3.png", "inner/5.png", "z.png"]
    assert (photos["0.png"] == photos["z.png"]).all()
    assert [one.path for some in lists for one in some if isinstance(one, LeftOut)] == ["notes.jpg"]


def test_no_more_than_a_batch_is_held(encoder, monkeypatch):
    """Of a stream without end: what is read ahead of the lists that have been used."""
    monkeypatch.setattr("bcdh_lib.search.encoder.BATCH", 4)
    read = []

    def endless():
        while True:
            read.append(Seen(Photo(str(len(read)), [1, 1], 64, 64, "", ""), np.zeros((1, 3, 64, 64), np.uint8)))
            yield read[-1]

    lists = encoder.encode(endless())
    assert [one.photo.path for _ in range(2) for one in next(lists)] == [str(number) for number in range(8)]
    assert len(read) == 8


def test_nothing_to_encode(encoder):
    nothing = LeftOut("a", "empty", "0 bytes")
    assert list(encoder.encode([])) == []
    assert list(encoder.encode([nothing])) == [[nothing]]
