"""A tiny study over seeds end to end, on photos that show nothing: resumed equals undisturbed, and done is done."""

import pytest
import yaml

from bcdh_lib.comparison import compare as module
from bcdh_lib.comparison.compare import compare
from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.study import Study, find_root, open_study
from tests.helpers import contents

METHODS = ["binary_constrained", "dsh"]
RATES = {"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}}
PLAN = {
    "changes": {},
    "methods": METHODS,
    "shallow": ["itq", "lsh"],
    "bits": [16],
    "seeds": [1, 2],
    "tuning": {"configurations": 2, "seed": 5, "bits": [16], "rounds": 1, "ranges": dict.fromkeys(METHODS, RATES)},
    "end_to_end": {"bits": [16], "seeds": [2], "settings": {"rounds": 1, "steps_per_round": 1, "photos": 16, "places": 6}},
    "ablations": {
        "bits": [16],
        "seeds": [1],
        "changes": {"rate": {"loss": {"learning_rate": 0.05}}, "clusters": {"supply": {"source": "clusters", "wrong": 0.2}}},
    },
    "models": {"counts": [4], "methods": ["binary_constrained"], "bits": [16], "seeds": [1]},
}


@pytest.fixture
def root(tmp_path, write_collection, draw_photo):
    """A study of eight places, two of them held apart, and a benchmark of Holidays' form with three other places."""
    settings = yaml.safe_load((find_root() / "params.yaml").read_text())
    settings["run"]["threads"] = 1
    settings["network"] |= {"side": 64, "frozen_blocks": 15}
    settings["training"]["float_baseline"] |= {"rounds": 1, "steps_per_round": 1, "tuples": 2, "negatives": 1, "views": 1}
    settings["training"]["hash_layer"] |= {"rounds": 1, "steps_per_round": 2, "photos": 16, "places": 6}
    settings["retrieval"] |= {"benchmarks": ["tiny"], "own_benchmarks": {"tiny": "holidays"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(PLAN))
    study = Study(tmp_path, open_study(root=tmp_path).params)
    write_collection(study, ["train"] * 6 + ["validation"] * 2)
    (study.benchmarks / "tiny/jpg").mkdir(parents=True)
    for number in range(9):
        draw_photo(study.benchmarks / f"tiny/jpg/{100000 + 100 * (number // 3) + number % 3}.jpg", 40 + number)
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
    first = contents(folder)
    pieces = sorted((root / "work/study").rglob("*.parquet"))
    compare(root, folder)
    assert contents(folder) == first
    for piece in pieces[::2]:  # as if the study had been killed before these
        piece.unlink()
    compare(root, folder)
    assert sorted((root / "work/study").rglob("*.parquet")) == pieces
    assert contents(folder) | {"provenance.json": b""} == first | {"provenance.json": b""}  # its minutes may differ
