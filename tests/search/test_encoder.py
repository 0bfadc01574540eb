"""The encoder: the study's own outputs, independent of the rest of a batch; one batch held; nothing to encode."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.photo_file import LeftOut, Photo, decode_file
from bcdh_lib.search.encoder import BATCH, Seen, encode, outputs_of, read_view
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.views import Views


@pytest.fixture(scope="module")
def network(checkpoint):
    return load_checkpoint(checkpoint)[0]


def views_of(paths, side=64):
    return np.concatenate([view.numpy() for view in Views(paths, side)])


def test_outputs_depend_on_no_other_photo_of_the_batch(network, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    together = outputs_of(network, views_of(paths))
    assert len(np.unique(together, axis=0)) == 5
    assert all((outputs_of(network, views_of([path]))[0] == row).all() for path, row in zip(paths, together, strict=True))
    with torch.no_grad():
        np.testing.assert_allclose(together, network(torch.from_numpy(views_of(paths))).numpy(), atol=1e-4)


def test_the_network_sees_what_the_study_shows_it(params, tmp_path):
    """Through the copy of the photos stage: turned upright, bounded at max_side, JPEG, and only then resized."""
    (tmp_path / "album").mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1400, 3), np.uint8))
    noise.save(tmp_path / "album/turned.jpg", exif=exif)
    noise.crop((0, 0, 90, 70)).save(tmp_path / "album/small.jpg")
    for job in find_files(tmp_path / "album")[0].items():
        view = read_view(job, params.photos, params.network.side)
        photo, picture = decode_file(job, params.photos)
        picture.as_copied().save(tmp_path / "copy.png")
        assert view.photo == photo
        assert (view.values == views_of([tmp_path / "copy.png"])).all()


def test_no_more_than_a_batch_is_held_and_files_left_out_are_passed_on(network):
    """Of an endless stream: what is read ahead of the lists that have been used."""
    read = []

    def endless():
        yield LeftOut("a", "empty", "0 bytes")
        while True:
            read.append(Seen(Photo(str(len(read)), [1, 1], 64, 64, "", ""), np.zeros((1, 3, 64, 64), np.uint8)))
            yield read[-1]

    lists = encode(network, endless())
    assert next(lists) == [LeftOut("a", "empty", "0 bytes")]
    assert [one.photo.path for one in next(lists) if isinstance(one, Seen)] == [str(number) for number in range(BATCH)]
    assert len(read) == BATCH
    assert list(encode(network, [])) == []
