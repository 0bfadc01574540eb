"""Every photo source of the registry, on a tiny case, gives photos of the one form."""

import shutil
from typing import get_args

import pytest
from PIL import Image

from bcdh_lib.core.tables import read_table
from bcdh_lib.params import Photos
from bcdh_lib.photos import SOURCES, gather
from bcdh_lib.study import find_root, open_study

TINY = {
    "landmarks": 2,
    "photos_per_landmark": 3,
    "strays": 1,
    "width": 96,
    "height": 72,
    "benchmark_landmarks": 2,
    "photos_per_benchmark_landmark": 6,
    "holidays_groups": 2,
    "distractors": 4,
}


def test_params_know_every_source():
    assert set(get_args(Photos.model_fields["source"].annotation)) == set(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_source(source, tmp_path):
    shutil.copy(find_root() / "params.yaml", tmp_path)
    pile = tmp_path / "pile"
    pile.mkdir()
    for number in range(7):
        Image.new("RGB", (96, 72), (30 * number, 0, 0)).save(pile / f"{number}.png")
    study = open_study({"photos": {"source": source, "folder": "pile"}, "rendered": TINY}, tmp_path)
    gather(study)
    photos = read_table(study.photos, "photos")
    assert photos["photo_id"].tolist() == list(range(7))
    assert photos["path"].is_monotonic_increasing
    assert set(photos["source"]) == {source}
    assert photos[["width", "height"]].drop_duplicates().values.tolist() == [[96, 72]]
    for photo_id in photos["photo_id"]:
        with Image.open(study.image(photo_id)) as image:
            assert (image.size, image.mode) == ((96, 72), "RGB")
    assert len(read_table(study.photos, "left_out")) == 0
