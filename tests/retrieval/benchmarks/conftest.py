"""Published benchmarks made small: a few true photos in the published on-disk forms."""

import pickle

import pytest
from PIL import Image

DATABASE, QUERIES = ["b", "a", "d", "c"], ["q", "r"]
"""The database's order is its own, not the alphabet's."""


def save_photos(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", (40, 30), (20 * place, 90, 200)).save(folder / f"{name}.jpg")
    return folder.parent


def revisited_truth():
    """Of q: b is easy, a and d are hard, c is junk. Of r: d is hard, nothing else."""
    return {
        "imlist": list(DATABASE),
        "qimlist": list(QUERIES),
        "gnd": [
            {"bbx": [1, 2.5, 40, 30], "easy": [0], "hard": [1, 2], "junk": [3]},
            {"bbx": [0, 0, 20, 10], "easy": [], "hard": [2], "junk": []},
        ],
    }


def original_truth():
    """The same for the form of before: a is asked for, answered by itself and by d; c is junk."""
    answers = {"bbx": [1, 2.5, 40, 30], "ok": [1, 2], "junk": [3]}
    return {"imlist": list(DATABASE), "qimlist": ["a"], "qidx": [1], "gnd": [answers]}


def save_truth(folder, content):
    (folder / f"gnd_{folder.name}.pkl").write_bytes(pickle.dumps(content, protocol=2))
    return folder


def save_text(folder):
    """original_truth as text files."""
    (folder / "groundtruth").mkdir()
    for kind, text in {"query": "oxc1_a 1 2.5 40 30\n", "good": "d\na\na\n", "ok": "", "junk": "c\n"}.items():
        (folder / f"groundtruth/hall_1_{kind}.txt").write_text(text)
    return folder


@pytest.fixture
def roxford(tmp_path):
    """The folder of a small ROxford."""
    return save_truth(save_photos(tmp_path / "data/benchmarks/roxford5k/jpg", DATABASE + QUERIES), revisited_truth())
