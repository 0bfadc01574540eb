"""A tiny study over seeds end to end, on photos of noise: resumed equals undisturbed, and done is done."""

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from bcdh_lib.comparison import compare as module
from bcdh_lib.comparison.compare import compare
from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.core.tables import write_table
from bcdh_lib.study import Study, find_root, open_study

PLAN = {
    "changes": {},
    "methods": ["binary_constrained", "dsh"],
    "shallow": ["itq", "lsh"],
    "bits": [16],
    "seeds": [1, 2],
    "tuning": {
        "configurations": 2,
        "seed": 5,
        "bits": [16],
        "rounds": 1,
        "ranges": {
            method: {"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}} for method in ("binary_constrained", "dsh")
        },
    },
    "end_to_end": {"bits": [16], "seeds": [2], "settings": {"rounds": 1, "steps_per_round": 1, "photos": 16, "places": 6}},
    "ablations": {
        "bits": [16],
        "seeds": [1],
        "changes": {"rate": {"loss": {"learning_rate": 0.05}}, "clusters": {"supply": {"source": "clusters", "wrong": 0.2}}},
    },
    "models": {"counts": [4], "methods": ["binary_constrained"], "bits": [16], "seeds": [1]},
}


def write_photo(path, place, generator):
    """A photo of a place: its own coarse pattern, and noise."""
    pattern = np.random.default_rng(place).integers(0, 255, (4, 4, 3)).repeat(16, 0).repeat(16, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pattern + generator.integers(-30, 30, pattern.shape)).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    """A study of 8 places of 4 photos, two places held apart, and a benchmark of Holidays' form with 3 other places."""
    settings = yaml.safe_load((find_root() / "params.yaml").read_text())
    settings["run"]["threads"] = 1
    settings["network"] |= {"side": 64, "frozen_blocks": 15}
    settings["training"]["float_baseline"] |= {"rounds": 1, "steps_per_round": 1, "tuples": 2, "negatives": 1, "views": 1}
    settings["training"]["hash_layer"] |= {"rounds": 1, "steps_per_round": 2, "photos": 16, "places": 6}
    settings["retrieval"] |= {"benchmarks": ["tiny"], "own_benchmarks": {"tiny": "holidays"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(PLAN))
    study, generator = Study(tmp_path, open_study(root=tmp_path).params), np.random.default_rng(0)
    for photo in range(32):
        write_photo(study.image(photo), photo // 4, generator)
    for place in range(3):
        for photo in range(3):
            write_photo(study.benchmarks / f"tiny/jpg/{100000 + 100 * place + photo}.jpg", 100 + place, generator)
    ids = np.arange(32)
    photos = pd.DataFrame({"photo_id": ids, "path": [f"{k}.jpg" for k in ids], "width": 64, "height": 64})
    write_table(study.photos, "photos", photos.assign(sha256="", source="folder"))
    split = np.where(ids < 24, "train", "validation")
    write_table(
        study.pairs, "members", pd.DataFrame({"photo_id": ids, "model_id": ids // 4, "group_id": ids // 4, "split": split})
    )
    pairs = [(a, b) for a in ids for b in ids if a != b and a // 4 == b // 4]
    pairs = pd.DataFrame(pairs, columns=["query_id", "positive_id"]).assign(model_id=0, shared_points=9, shared_share=0.5)
    write_table(study.pairs, "pairs", pairs.assign(scale_change=1.0))
    return tmp_path


def test_a_study_resumed_equals_one_undisturbed(root, monkeypatch):
    monkeypatch.setattr(module, "make_collection", lambda study: None)
    folder = root / "reports/study"
    compare(root, folder)
    tables = read_tables(root)
    assert set(tables["headline"]["role"]) == {"bcdh", "best_other_loss", "itq", "float_baseline"}
    assert set(tables["mean"]["scoring"]) == {"hamming", "recentred", "asymmetric", "cosine"}
    assert {"pretrained", "whitened", "lsh"} <= set(tables["mean"]["method"])
    assert tables["models"]["models"].unique().tolist() == [4, 6]
    assert set(tables["ablations"]["ablation"]) == {"reference", "rate", "clusters"}
    assert len(tables["trials"]) == 4
    assert set(tables["end_to_end"]["training"]) == {"layer", "end_to_end", "longer_baseline"}
    assert set(tables["end_to_end_differences"]["question"]) == {"layer", "longer_baseline", "other_losses", "itq"}
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    pieces = sorted((root / "work/study").rglob("*.parquet"))
    compare(root, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    for piece in pieces[::2]:  # as if the study had been killed before these
        piece.unlink()
    compare(root, folder)
    assert sorted((root / "work/study").rglob("*.parquet")) == pieces
    again = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert again | {"provenance.json": b""} == first | {"provenance.json": b""}  # its minutes may differ
