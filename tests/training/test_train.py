"""Training: learns, repeats, goes on after a kill, two processes give the gradients of one, NaN is named."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from bcdh_lib.comparison.from_parent import started_from_parent
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import write_table
from bcdh_lib.params import TrainingRun
from bcdh_lib.study import Study
from bcdh_lib.training import train as training
from bcdh_lib.training import training_set as training_set_module
from bcdh_lib.training.batches import draw_round
from bcdh_lib.training.distributed import process_count
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.network import HashNetwork, load_checkpoint, load_start
from bcdh_lib.training.train import Projector, batch_loss, make_optimiser, make_run, train_all, train_round, train_run
from bcdh_lib.training.training_set import (
    TrainingSet,
    encode_kept,
    keep,
    load_training_set,
    outputs_of,
    settle,
    start_network,
    validation_map,
)
from bcdh_lib.training.views import Views
from bcdh_lib.training.whitening import learn_whitening

RUN = TrainingRun(method="binary_constrained", bits=16)


def weights_of(folder):
    return load_checkpoint(folder / "best.safetensors")[0].state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_batch_loss_by_hand():
    """Similar pairs 1 and 3, one dissimilar pair 10: (2 + 10) / 2; of one kind alone, its mean."""
    values, similar = torch.tensor([1.0, 3.0, 10.0]), torch.tensor([True, True, False])
    assert batch_loss(values, similar).item() == 6
    assert batch_loss(values[:2], similar[:2]).item() == 2


def test_validation_map_by_hand(training_set):
    """Outputs that say the group give mAP 1; equal outputs leave 3 positives among 23 photos in random order."""
    told = torch.nn.functional.one_hot(torch.from_numpy(training_set.group), 8).float() * 2 - 1
    assert validation_map(training_set, told, 8) == pytest.approx(1)
    orders = [np.random.default_rng(seed).permutation(23) < 3 for seed in range(4000)]
    chance = np.mean([np.mean(np.arange(1, 4) / (np.flatnonzero(order) + 1)) for order in orders])
    assert validation_map(training_set, torch.zeros(24, 8), 8) == pytest.approx(chance, abs=0.01)


def test_validation_in_blocks_is_validation_at_once(training_set, monkeypatch):
    outputs = torch.randn(24, 16, generator=torch.Generator().manual_seed(3))
    whole = [validation_map(training_set, outputs, bits) for bits in (16, None)]
    monkeypatch.setattr(training_set_module, "VALIDATED", 3)
    assert [validation_map(training_set, outputs, bits) for bits in (16, None)] == pytest.approx(whole, abs=1e-12)


def shared_memory() -> set[str]:
    """The files of torch's shared memory that this process holds open. Only these: what else is open closes when it may."""
    files = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    return {file for file in files if "/torch_" in file}


def test_pixels_are_kept_without_a_file_a_batch(params, tmp_path, draw_photo):
    """Where every block trains, in worker processes: the pixels are the views', and no batch of them holds a file open."""
    network = HashNetwork(params.network.model_copy(update={"frozen_blocks": 0}), None, pretrained=False)
    paths = [tmp_path / f"{number}.png" for number in range(70)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    views = Views(paths, 32)
    gathered = list(views.batches(32, 1, "pixels"))
    assert len(shared_memory()) >= len(gathered) == 3  # so a file a batch would be seen
    del gathered
    kept = keep(network, views, 1, "pixels")
    assert not shared_memory()
    assert torch.equal(kept, torch.stack([views[number] for number in range(70)]))


@pytest.mark.parametrize("run", [RUN, TrainingRun(method="float", bits=None)])
def test_training_raises_the_map_and_repeats(training_set, params, run, tmp_path):
    longer = params.model_copy(update={"training": params.training.model_copy(update={"rounds": 4, "steps_per_round": 5})})
    history = train_run(training_set, longer, run, tmp_path / "a")
    assert [row["round"] for row in history] == [0, 1, 2, 3, 4]
    best = max(row["validation_map"] for row in history)
    assert best > history[0]["validation_map"]
    _, facts = load_checkpoint(tmp_path / "a/best.safetensors")
    assert facts["validation_map"] == best
    if run.bits:
        assert history[-1]["quantization"] < history[1]["quantization"]
    train_run(training_set, longer, run, tmp_path / "b")
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_the_float_parent_settles_on_the_whitening_of_its_training_photos(training_set, params):
    network, _ = make_run(training_set, params, TrainingRun(method="float", bits=None))
    outputs = settle(network, training_set)
    raw = torch.cat([outputs_of(network, kept[:1]) for kept in training_set.activations]).detach()
    matrix, offset = learn_whitening(raw[:16].numpy(), training_set.train_pairs, params.network.whitening)  # 16 to train, first
    expected = torch.nn.functional.normalize(raw @ torch.from_numpy(matrix).T + torch.from_numpy(offset), dim=1)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-4)


def test_the_hash_layer_starts_from_itq_of_the_whitened_vectors(training_set, params):
    """One map after the other, as one; without whitening ITQ's alone."""
    vectors = encode_kept(HashNetwork(params.network, None).eval(), training_set.activations).numpy()
    training_set = dataclasses.replace(training_set, vectors=vectors)
    settings = params.network.model_copy(update={"start": "itq"})
    weight = start_network(training_set, settings, 8, 7).hash_layer.weight.detach().numpy()
    matrix, offset = learn_whitening(vectors[:16], training_set.train_pairs, settings.whitening)
    np.testing.assert_allclose(weight, itq_projection(vectors[:16] @ matrix.T + offset, 8, 7) @ matrix, atol=1e-6)
    plain = start_network(training_set, settings.model_copy(update={"whitening": None}), 8, 7).hash_layer.weight.detach().numpy()
    np.testing.assert_allclose(plain, itq_projection(vectors[:16], 8, 7), atol=1e-6)


def test_the_best_start_is_the_one_whose_codes_validate_better(training_set, params):
    vectors = encode_kept(HashNetwork(params.network, None).eval(), training_set.activations).numpy()
    training_set, taken = dataclasses.replace(training_set, vectors=vectors), set()
    for seed in range(6):
        starts = {}
        for kind in ("itq", "random", "best"):
            network = start_network(training_set, params.network.model_copy(update={"start": kind}), 8, seed)
            starts[kind] = network.hash_layer.weight.detach().clone()
            starts[f"{kind} map"] = validation_map(training_set, settle(network, training_set), 8)
        better = "itq" if starts["itq map"] >= starts["random map"] else "random"
        assert torch.equal(starts["best"], starts[better])
        taken.add(better)
    assert taken == {"itq", "random"}  # else this test showed nothing


def test_a_start_from_the_float_parent_has_its_blocks_and_itq_of_its_whitened_vectors(training_set, params, tmp_path):
    train_run(training_set, params, TrainingRun(method="float", bits=None), tmp_path)
    parent, _ = load_checkpoint(tmp_path / "best.safetensors")
    network, _ = make_run(training_set, started_from_parent(params), RUN, parent)
    learned = parent.late.state_dict()
    assert all(torch.equal(weight, learned[name]) for name, weight in network.late.state_dict().items())
    raw = torch.cat([outputs_of(parent, kept[:1]) for kept in training_set.activations]).detach().numpy()[:16]
    matrix, offset = parent.whitening.weight.numpy(), parent.whitening.bias.numpy()
    expected = itq_projection(raw @ matrix.T + offset, RUN.bits, params.run.seed) @ matrix
    np.testing.assert_allclose(network.hash_layer.weight.detach().numpy(), expected, atol=1e-5)
    own, share = params.training, params.training.parent_rate
    rates = [group["lr"] for group in make_optimiser(started_from_parent(params), network).param_groups]
    assert rates == [share * own.learning_rate, share * own.head_learning_rate]
    assert (
        make_optimiser(started_from_parent(params), parent).param_groups[0]["lr"] == own.learning_rate
    )  # its own rate is not lowered
    with pytest.raises(StudyError, match="there is no float parent to start from"):
        make_run(training_set, started_from_parent(params), RUN)


def test_the_whole_study_from_the_float_parent(training_set, params, tmp_path, monkeypatch):
    """train_all trains the parent first, once; the others start from it; what they started from can be looked at."""
    runs = [RUN, TrainingRun(method="float", bits=None)]
    settings = started_from_parent(params)
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"runs": runs, "rounds": 1})})
    study = Study(tmp_path, settings)
    for path in (study.pairs / "members.parquet", study.pairs / "pairs.parquet", study.photos / "photos.parquet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.setattr(training, "load_training_set", lambda study: training_set)
    history = train_all(study)
    assert history["run"].tolist() == [RUN.name] * 2 + ["float"] * 2
    parent = load_checkpoint(study.checkpoint("float"))[0]
    start = load_start(study.start(RUN.name), settings.network, RUN.bits)
    expected, _ = make_run(training_set, settings, RUN, parent)
    settled = settle(expected, training_set)
    assert torch.equal(encode_kept(start, training_set.activations), settled)
    assert history["validation_map"].iloc[0] == validation_map(training_set, settled, RUN.bits)


def test_photos_held_apart_for_the_pile_are_neither_trained_on_nor_validated_on(tmp_path, params, draw_photo):
    study = Study(tmp_path, params)
    study.image(0).parent.mkdir(parents=True)
    for photo in range(6):
        draw_photo(study.image(photo), photo)
    split = ["test", "test", "train", "train", "validation", "validation"]
    group = [0, 0, 1, 1, 2, 2]
    write_table(
        study.pairs, "members", pd.DataFrame({"photo_id": range(6), "model_id": group, "group_id": group, "split": split})
    )
    known = {"shared_points": 9, "shared_share": 0.5, "scale_change": 1.0}
    pairs = pd.DataFrame({"query_id": [0, 2, 4], "positive_id": [1, 3, 5], "model_id": [0, 1, 2]})
    write_table(study.pairs, "pairs", pairs.assign(**known))
    loaded = load_training_set(study)
    assert loaded.train.tolist() == [True, True, False, False]
    assert loaded.group.tolist() == [1, 1, 2, 2]
    assert loaded.pairs.tolist() == [[0, 1], [2, 3]]
    assert len(loaded.activations) == len(loaded.vectors) == 4


def test_what_a_run_started_from_is_kept(training_set, params, tmp_path):
    train_run(training_set, params, RUN, tmp_path)
    start, _ = make_run(training_set, params, RUN)
    expected = settle(start, training_set)
    kept = load_start(tmp_path / "start.safetensors", params.network, RUN.bits)
    assert torch.equal(encode_kept(kept, training_set.activations), expected)
    assert not torch.equal(encode_kept(load_checkpoint(tmp_path / "best.safetensors")[0], training_set.activations), expected)
    (tmp_path / "start.safetensors").write_bytes(b"")
    with pytest.raises(StudyError, match=r"start\.safetensors: is no start of a run"):
        load_start(tmp_path / "start.safetensors", params.network, RUN.bits)


def test_goes_on_to_the_weights_of_an_undisturbed_run(training_set, params, tmp_path):
    undisturbed = train_run(training_set, params, RUN, tmp_path / "undisturbed")
    shorter = params.model_copy(update={"training": params.training.model_copy(update={"rounds": 1})})
    train_run(training_set, shorter, RUN, tmp_path / "cut")
    went_on = train_run(training_set, params, RUN, tmp_path / "cut")
    assert str(went_on) == str(undisturbed)
    assert same(weights_of(tmp_path / "cut"), weights_of(tmp_path / "undisturbed"))


HERE = os.path.dirname(__file__)
SCRIPT = f"""
import sys
sys.path[:0] = [{HERE!r}]
from pathlib import Path
import test_training
from conftest import params, training_set
folder, params, training_set = Path(sys.argv[1]), params.__wrapped__(), training_set.__wrapped__()
"""


def test_killed_and_started_again(training_set, params, tmp_path):
    """SIGKILL as soon as the first state is there, whatever is being written then."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + "test_training.train_run(training_set, params, test_training.RUN, folder)")
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed")], cwd=HERE)
    state = tmp_path / "killed/state.safetensors"
    while not state.is_file() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    train_run(training_set, params, RUN, tmp_path / "killed")
    train_run(training_set, params, RUN, tmp_path / "undisturbed")
    assert same(weights_of(tmp_path / "killed"), weights_of(tmp_path / "undisturbed"))


def first_gradients(training_set, params):
    """Gradients of the first batch, by name; of all processes together where there are several."""
    network, loss = make_run(training_set, params, RUN)
    projector = Projector(network)
    if process_count() > 1:
        projector = torch.nn.parallel.DistributedDataParallel(projector)
    batches = draw_round(training_set, settle(network, training_set), RUN.bits, params, 1)[:1]
    train_round(network, projector, loss, torch.optim.SGD(network.parameters(), lr=0.0), training_set.activations, batches)
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def save_first_gradients(training_set, params, folder):
    """What each of torchrun's processes does."""
    torch.distributed.init_process_group("gloo")
    save_file(first_gradients(training_set, params), folder / f"{torch.distributed.get_rank()}.safetensors")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("count", [2, 4])
def test_processes_give_the_gradients_of_one(count, training_set, params, tmp_path):
    """Gloo processes, a share of a batch each, against one with the whole batch."""
    script = tmp_path / "gradients.py"
    script.write_text(SCRIPT + "test_training.save_first_gradients(training_set, params, folder)")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    subprocess.run([*torchrun, str(script), str(tmp_path)], cwd=HERE, check=True)
    one = first_gradients(training_set, params)
    for rank in range(count):
        of_rank = load_file(tmp_path / f"{rank}.safetensors")
        assert of_rank.keys() == one.keys()
        for name in one:
            torch.testing.assert_close(of_rank[name], one[name], rtol=1e-3, atol=1e-4 * one[name].abs().max().item(), msg=name)


def test_a_loss_that_is_not_finite_is_named_and_keeps_what_was_good(training_set, params, tmp_path):
    train_run(
        training_set, params.model_copy(update={"training": params.training.model_copy(update={"rounds": 1})}), RUN, tmp_path
    )
    good = (tmp_path / "state.safetensors").read_bytes()
    training_set.activations[training_set.train] = float("inf")
    with pytest.raises((StudyError, ValueError), match=r"not finite|the loss became"):
        train_run(training_set, params, RUN, tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == good


def test_everything_can_train(params):
    """With frozen_blocks 0 the pixels are kept and the first block moves."""
    whole = params.model_copy(update={"network": params.network.model_copy(update={"frozen_blocks": 0})})
    pixels = torch.randint(0, 256, (8, 2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pairs = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [4, 5], [5, 4]])
    training_set = TrainingSet(pixels, np.repeat(np.arange(4), 2), np.arange(8) < 6, pairs, np.empty((8, 0)))
    network, loss = make_run(training_set, whole, RUN)
    before = network.late[0][0].weight.clone()
    batches = draw_round(training_set, settle(network, training_set), 16, whole, 1)
    train_round(network, Projector(network), loss, make_optimiser(whole, network), pixels, batches)
    assert not torch.equal(network.late[0][0].weight, before)
