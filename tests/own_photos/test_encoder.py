"""The encoder: the study's own outputs, whatever stands beside a photo; equal files once; nothing to encode."""

import numpy as np
import pytest
import torch

from bcdh_lib.network import HashNetwork, load_checkpoint
from bcdh_lib.own_photos.encoder import Encoded, Encoder
from bcdh_lib.photos.folder import LeftOut, find_files, take
from bcdh_lib.training_set import BATCH, encode_kept, keep
from bcdh_lib.views import Views


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return Encoder(load_checkpoint(checkpoint)[0], 1)


def taken(folder, copies, params):
    copies.mkdir(exist_ok=True)
    return [take(job, params.photos, copies) for job in find_files(folder)[0].items()]


def test_the_outputs_are_the_studys(encoder, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(BATCH)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    kept = keep(encoder.network, Views(paths, encoder.network.settings.side), 0, "")
    assert (encoder.outputs(paths) == encode_kept(encoder.network, kept).numpy()).all()


def test_a_photos_outputs_depend_on_nothing_beside_it(encoder, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    together = encoder.outputs(paths)
    assert len(np.unique(together, axis=0)) == 5
    assert all((encoder.outputs([path])[0] == row).all() for path, row in zip(paths, together, strict=True))
    assert (encoder.outputs(paths[::-1])[::-1] == together).all()


def test_a_network_without_frozen_blocks(params, tmp_path, draw_photo):
    draw_photo(tmp_path / "a.png", 1)
    torch.manual_seed(0)
    whole = HashNetwork(params.network.model_copy(update={"frozen_blocks": 0}), 8).eval()
    views = Views([tmp_path / "a.png"], params.network.side)[0]
    with torch.no_grad():
        np.testing.assert_allclose(Encoder(whole, 1).outputs([tmp_path / "a.png"]), whole(views).numpy(), atol=1e-5)


def test_lists_in_order_equal_files_once_and_no_copy_left(encoder, album, params, tmp_path, monkeypatch):
    (album / "z.png").write_bytes((album / "0.png").read_bytes())
    monkeypatch.setattr("bcdh_lib.own_photos.encoder.BATCH", 4)
    outcomes, copies = taken(album, tmp_path / "copies", params), tmp_path / "copies"
    lists = list(encoder.encode(outcomes, copies))
    assert [len(some) for some in lists] == [4, 1, 1, 2]
    photos = {one.photo.path: one.outputs for some in lists for one in some if isinstance(one, Encoded)}
    assert list(photos) == ["0.png", "2.png", "4.png", "inner/1.png", "z.png", "inner/3.png", "inner/5.png"]
    assert (photos["0.png"] == photos["z.png"]).all()
    assert [one.path for some in lists for one in some if isinstance(one, LeftOut)] == ["notes.jpg"]
    assert not list(copies.iterdir())


def test_nothing_to_encode(encoder, tmp_path):
    nothing = LeftOut("a", "empty", "0 bytes")
    assert list(encoder.encode([], tmp_path)) == []
    assert list(encoder.encode([nothing], tmp_path)) == [[nothing]]
