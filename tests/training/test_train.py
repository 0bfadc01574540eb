"""The stage: what it reads, what it writes, and that a second call returns at once."""

import numpy as np
import pytest
import torch

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.tables import read_table
from bcdh_lib.study import Study
from bcdh_lib.training import train
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.train import train_all
from bcdh_lib.training.training_set import load_training_set, read_vectors


@pytest.fixture
def study(tmp_path, params, write_collection):
    """Six groups of four photos, the first two for the benchmark `collection`, the last for validation."""
    runs = [{"method": "dsh", "bits": 8}, {"method": "float", "bits": None}]
    end_to_end = {"rounds": 1, "steps_per_round": 2, "photos": 16}
    study = Study(tmp_path, changed(params, {"training": {"runs": runs}, "training.end_to_end": end_to_end}))
    write_collection(study, ["test", "test", "train", "train", "train", "validation"])
    return study


def test_photos_held_apart_for_a_benchmark_are_neither_trained_on_nor_validated_on(study):
    loaded = load_training_set(study)
    assert loaded.train.tolist() == [True] * 12 + [False] * 4
    assert loaded.group.tolist() == np.repeat([2, 3, 4, 5], 4).tolist()
    assert loaded.pairs.min() == 0
    assert loaded.pairs.max() == 15
    assert len(loaded.views) == 16


def test_the_stage_trains_the_float_baseline_and_a_layer_a_run(study, params, monkeypatch):
    train_all(study)
    history = read_table(study.checkpoints, "history")
    rounds = {"float": params.training.float_baseline.rounds, "dsh-8": params.training.hash_layer.rounds + 1}
    assert {run: len(rows) - 1 for run, rows in history.groupby("run")} == rounds
    baseline, _ = load_checkpoint(study.checkpoint("float"))
    network, facts = load_checkpoint(study.checkpoint("dsh-8"))
    assert (facts["method"], facts["bits"], facts["seed"]) == ("dsh", 8, params.run.seed)
    assert facts["validation_map"] == history.loc[history["run"] == "dsh-8", "validation_map"].max()
    views = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert network(views).shape == (2, 8)
        assert baseline(views).shape == (2, 1280)
    vectors = read_vectors(study)
    assert vectors.views.shape == (16, 1 + params.training.float_baseline.views, 1280)
    assert vectors.train.sum() == 12
    assert load_checkpoint(study.checkpoint("whitened"))[0].bits is None
    monkeypatch.setattr(train, "load_training_set", None)  # would end in a TypeError
    train_all(study)
