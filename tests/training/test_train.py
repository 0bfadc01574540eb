"""The stage: what it reads and writes, that a second call returns at once; validation by hand, and in blocks as at once."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.tables import read_table
from bcdh_lib.study import Study
from bcdh_lib.training import train, validation
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.train import train_all
from bcdh_lib.training.training_set import load_training_set, read_vectors
from bcdh_lib.training.validation import validation_map
from tests.helpers import contents


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
    assert (loaded.pairs.min(), loaded.pairs.max()) == (0, 15)
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


def test_a_killed_stage_continues_after_the_last_finished_run(study, monkeypatch):
    """Killed in the second of two runs: the first is not trained again, and all files equal those of an undisturbed stage."""
    runs = [{"method": "dsh", "bits": 8}, {"method": "dsh", "bits": 16}]
    study = replace(study, params=changed(study.params, {"training": {"runs": runs}}))
    trained, layer = [], train.train_hash_layer

    def killed(vectors, params, method, bits, seed):
        trained.append(bits)
        if trained == [8, 16]:
            raise KeyboardInterrupt
        return layer(vectors, params, method, bits, seed)

    monkeypatch.setattr(train, "train_hash_layer", killed)
    with pytest.raises(KeyboardInterrupt):
        train_all(study)
    train_all(study)
    assert trained == [8, 16, 16]
    resumed = contents(study.checkpoints)
    shutil.rmtree(study.root / "data/stamps")
    shutil.rmtree(study.work)
    train_all(study)
    assert trained == [8, 16, 16, 8, 16]
    assert contents(study.checkpoints) == resumed


GROUP, TRAIN = np.repeat(np.arange(6), 4), np.arange(24) < 16


def test_validation_by_hand():
    """Outputs that name the group give mAP 1; equal outputs leave 3 positives among 23 photos in random order."""
    named = torch.nn.functional.one_hot(torch.from_numpy(GROUP), 8).float() * 2 - 1
    assert validation_map(GROUP, TRAIN, named, 8) == pytest.approx(1)
    orders = [np.random.default_rng(seed).permutation(23) < 3 for seed in range(4000)]
    chance = np.mean([np.mean(np.arange(1, 4) / (np.flatnonzero(order) + 1)) for order in orders])
    assert validation_map(GROUP, TRAIN, torch.zeros(24, 8), 8) == pytest.approx(chance, abs=0.01)


def test_training_photos_are_no_distractors_where_enough_groups_are_held_apart():
    """Training photos that lie on the held-apart ones change nothing; with fewer groups they do."""
    group, outputs = np.repeat(np.arange(12), 4), torch.randn(48, 16, generator=torch.Generator().manual_seed(3))
    for held, expected in ((8, False), (7, True)):
        train = group < 12 - held
        copied = outputs.clone()
        copied[torch.from_numpy(train)] = outputs[-1]
        differs = validation_map(group, train, outputs, 16) != validation_map(group, train, copied, 16)
        assert differs == expected


def test_validation_in_blocks_as_at_once(monkeypatch):
    outputs = torch.randn(24, 16, generator=torch.Generator().manual_seed(3))
    whole = [validation_map(GROUP, TRAIN, outputs, bits) for bits in (16, None)]
    monkeypatch.setattr(validation, "QUERIES", 3)
    assert [validation_map(GROUP, TRAIN, outputs, bits) for bits in (16, None)] == pytest.approx(whole, abs=1e-12)
