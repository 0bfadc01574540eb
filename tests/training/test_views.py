"""The network's input: the plain view, boxes, augmented views that depend on nothing but seed and place."""

import pytest
import torch
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.views import Views


@pytest.fixture
def photos(tmp_path):
    """Three photos, 80 x 60 px: left half red, right half blue; brighter from one to the next."""
    paths = []
    for place in range(3):
        image = Image.new("RGB", (80, 60), (100 + 50 * place, 0, 0))
        image.paste((0, 0, 100 + 50 * place), (40, 0, 80, 60))
        paths.append(tmp_path / f"{place}.png")
        image.save(paths[-1])
    return paths


def test_plain_view_and_box_by_hand(photos):
    whole, right = Views(photos, 8)[1][0], Views(photos, 8, boxes=[None, (41.2, -5, 300, 60), None])[1][0]
    assert whole.shape == (3, 8, 8)
    assert whole[:, 4, 0].tolist() == [150, 0, 0]
    assert whole[:, 4, 7].tolist() == [0, 0, 150]
    assert (right[2] == 150).all()
    assert (right[0] == 0).all()


def test_augmented_views_depend_on_seed_and_place_alone(photos):
    views = Views(photos, 16, augmented=2, seed=5)
    torch.manual_seed(1)
    one = views[2]
    torch.manual_seed(99)
    assert torch.equal(one, views[2])
    assert one.shape == (3, 3, 16, 16)
    assert torch.equal(one[0], Views(photos, 16)[2][0])
    assert not torch.equal(one[1], one[2])
    assert not torch.equal(one, Views(photos, 16, augmented=2, seed=6)[2])
    for workers in (0, 2):
        batches = list(views.batches(2, workers, "views"))
        assert [len(batch) for batch in batches] == [6, 3]
        assert torch.equal(torch.cat(batches), torch.cat([views[place] for place in range(3)]))


def test_bad_input_is_named(photos, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(StudyError, match=r"text\.jpg: cannot be read"):
        Views([tmp_path / "text.jpg"], 8)[0]
    with pytest.raises(StudyError, match=r"gone\.jpg: cannot be read"):
        Views([tmp_path / "gone.jpg"], 8)[0]
    with pytest.raises(StudyError, match="outside the photo of 80 x 60"):
        Views(photos, 8, boxes=[(90, 0, 95, 10), None, None])[0]
