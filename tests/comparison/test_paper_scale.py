"""The settings of the paper-scale run: valid, and apart from the study's only where meant; a small made copy goes through."""

import json
import pickle
from typing import Any

import pytest
import yaml

from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.retrieval_sfm import photo_path
from bcdh_lib.pairs.sources import make_pairs
from bcdh_lib.params import load_params
from bcdh_lib.photos import gather
from bcdh_lib.study import Study, find_root
from bcdh_lib.training.train import train_all

ROOT = find_root()
PATH = ROOT / "docs/paper_scale.yaml"
MEANT = {
    "run": {"threads"},
    "photos": {"source", "folder"},
    "pairs": {"source", "database"},
    "network": {"backbone", "side", "frozen_blocks"},
    "training": {"rounds", "steps_per_round", "negatives", "views", "learning_rate"},
    "retrieval": {"benchmarks"},
}


def test_it_differs_from_the_study_where_meant():
    settings, study = (load_params(path).model_dump() for path in (PATH, ROOT / "params.yaml"))
    changed = {
        section: {key for key in settings[section] if settings[section][key] != study[section][key]} for section in settings
    }
    assert {name: keys for name, keys in changed.items() if keys} == MEANT
    marked = [line.split(":")[0].strip() for line in PATH.read_text(encoding="utf-8").splitlines() if "# (changed" in line]
    assert sorted(marked) == sorted(key for keys in MEANT.values() for key in keys)


def test_the_page_names_the_settings_files():
    """What the page tells to type names what the file reads."""
    settings = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    page = (ROOT / "docs/paper_scale.md").read_text(encoding="utf-8")
    assert settings["photos"]["folder"] in page
    assert settings["pairs"]["database"] in page


COST = (
    "a step of {photos_a_step} photos takes {measured[0][step_s]:.0f} s",
    "one run {measured[0][run_h]:,.0f} h, all {runs} runs {measured[0][all_runs_h]:,.0f} h",
    "mining {mine_s:.0f} s and a validation {validate_s:.0f} s a round",
    "one run {published[0][run_h]:.1f} h, all {published[0][all_runs_h]:.0f} h; VGG16 {published[1][run_h]:.1f} h and "
    "{published[1][all_runs_h]:.0f} h",
    "{kept_gb:.1f} GB",
    "A validation takes {validate_gb:.1f} GB",
)


@pytest.mark.parametrize("said", COST)
def test_the_cost_on_the_page_is_the_measured_one(said):
    page = " ".join((ROOT / "docs/paper_scale.md").read_text(encoding="utf-8").split())
    report = json.loads((ROOT / "reports/step.json").read_text(encoding="utf-8"))
    assert said.format_map(report) in page


def make_copy(root, draw_photo) -> None:
    """Twelve photos of four models in the published layout, three models of them to train on."""
    cids = [f"{number:032x}" for number in range(12)]
    for number, cid in enumerate(cids):
        path = root / "retrieval-SfM-120k/ims" / photo_path(cid)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(path.with_suffix(".png"), number)
        path.with_suffix(".png").rename(path)  # published photos have no ending
    pairs = {"qidxs": [0, 1, 3, 6], "pidxs": [1, 2, 4, 8]}
    database: dict[str, Any] = {
        "train": {"cids": cids[:9], "cluster": [0, 0, 0, 1, 1, 1, 2, 2, 2], **pairs},
        "val": {"cids": cids[9:], "cluster": [0, 0, 0], "qidxs": [0], "pidxs": [1]},
    }
    (root / "retrieval-SfM-120k/retrieval-SfM-120k.pkl").write_bytes(pickle.dumps(database))


def test_a_small_made_copy_trains(tmp_path, draw_photo):
    """From the published layout to a checkpoint, every block trained; smaller in all that costs, and with the network at hand."""
    smaller = {
        "run": {"threads": 1},
        "network": {"backbone": "efficientnet_lite0", "side": 32, "start": "random"},
        "training": {"runs": [{"method": "binary_constrained", "bits": 16}], "rounds": 1, "steps_per_round": 1, "tuples": 2},
    }
    make_copy(tmp_path, draw_photo)
    study = Study(tmp_path, load_params(PATH, smaller))
    gather(study)
    counts = make_pairs(study)
    assert (counts["similar_pairs"], counts["photos"], counts["groups"]) == (5, 12, 4)
    history = train_all(study)
    assert history["round"].tolist() == [0, 1]
    assert study.checkpoint("binary_constrained-16").is_file()
    assert len(read_table(study.pairs, "members").query("split == 'validation'")) == 3
