"""The float baseline: learns, repeats, continues after a kill; several processes give the gradients of one; NaN is named."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.batches import draw_tuples
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import process_count
from bcdh_lib.training.encoding import cache_activations, encode, pool_all
from bcdh_lib.training.float_baseline import Pooling, averaged, make_baseline_loss, train_float_baseline, train_round
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, encode_training_set, set_whitening
from bcdh_lib.training.views import Views
from bcdh_lib.training.whitening import learn_whitening


def weights_in(folder):
    return load_checkpoint(folder / "best.safetensors")[0].state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def with_baseline(params, **changes):
    return changed(params, {"training.float_baseline": changes})


def shared_memory():
    """The files of torch's shared memory that this process holds open."""
    files = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    return {file for file in files if "/torch_" in file}


def test_pixels_are_cached_without_a_file_a_batch(params, tmp_path, draw_photo):
    """If every block trains, in worker processes: the pixels are the views', and no batch of them holds a file open."""
    network = HashNetwork(params.network.model_copy(update={"frozen_blocks": 0}), None, pretrained=False)
    paths = [tmp_path / f"{number}.png" for number in range(70)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    views = Views(paths, 32)
    read = list(views.batches(32, 2, "pixels"))
    assert len(shared_memory()) >= len(read) == 3  # so a file a batch would be seen
    del read
    cached = cache_activations(network, views, 2, "pixels")
    assert not shared_memory()
    assert torch.equal(cached, torch.stack([views[number] for number in range(70)]))


def test_training_raises_the_map_and_repeats(training_set, params, tmp_path):
    longer = with_baseline(params, rounds=4, steps_per_round=5)
    network, history = train_float_baseline(training_set, longer, tmp_path / "a")
    assert [row["round"] for row in history] == [0, 1, 2, 3, 4]
    best = max(row["validation_map"] for row in history)
    assert best > history[0]["validation_map"]
    assert load_checkpoint(tmp_path / "a/best.safetensors")[1]["validation_map"] == best
    vectors = encode_training_set(network, training_set)
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, rtol=1e-5)
    train_float_baseline(training_set, longer, tmp_path / "b")
    assert same(weights_in(tmp_path / "a"), weights_in(tmp_path / "b"))


def test_the_whitening_is_that_of_the_training_photos_and_their_pairs(training_set, params):
    network = HashNetwork(params.network, None)
    outputs = set_whitening(network, training_set)
    pooled = pool_all(network, training_set.views)  # the first 16 are to train on
    matrix, offset = learn_whitening(pooled[:16].numpy(), training_set.train_pairs, params.network.whitening)
    expected = torch.nn.functional.normalize(pooled @ torch.from_numpy(matrix).T + torch.from_numpy(offset), dim=1)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encode(network, training_set.views), outputs)


def test_blocks_averaged_with_the_pretrained_ones(params):
    """Every weight lies at the share of the way to the trained one; all of it is the trained network itself."""
    network = HashNetwork(params.network, None)
    pretrained = {name: weight.clone() for name, weight in network.late.state_dict().items()}
    with torch.no_grad():
        for weight in network.late.parameters():
            weight += 4.0
    made = averaged(network, pretrained, 0.25)
    for name, weight in made.late.named_parameters():
        torch.testing.assert_close(weight, pretrained[name] + 1.0)
    assert averaged(network, pretrained, 1.0) is network


def test_training_is_the_same_whatever_share_of_it_is_kept(training_set, params, tmp_path):
    trained = []
    for share in (1.0, 1e-9):
        folder = tmp_path / str(share)
        _, history = train_float_baseline(training_set, with_baseline(params, rounds=1, trained_share=share), folder)
        state = torch.load(folder / "state.pt", weights_only=True)["network"]
        trained.append({name: weight for name, weight in state.items() if name.startswith("late.")})
    assert same(*trained)
    assert history[0]["validation_map"] == history[1]["validation_map"]  # of the pretrained blocks, nearly


HERE = os.path.dirname(__file__)
SCRIPT = f"""
import sys
sys.path[:0] = [{HERE!r}, {os.path.dirname(HERE)!r}]
from pathlib import Path
import test_float_baseline as tests
from conftest import params, training_set
folder, params, training_set = Path(sys.argv[1]), params.__wrapped__(), training_set.__wrapped__()
"""


def test_killed_and_started_again(training_set, params, tmp_path):
    """SIGKILL as soon as the first state exists, even during another write."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + "tests.train_float_baseline(training_set, params, folder)")
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed")], cwd=HERE)
    state = tmp_path / "killed/state.pt"
    while not state.is_file() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, continued = train_float_baseline(training_set, params, tmp_path / "killed")
    _, undisturbed = train_float_baseline(training_set, params, tmp_path / "undisturbed")
    assert str(continued) == str(undisturbed)
    assert same(weights_in(tmp_path / "killed"), weights_in(tmp_path / "undisturbed"))


def first_gradients(training_set, params):
    """Gradients of the first batch, by name; of all processes together if there are several."""
    network, settings = HashNetwork(params.network, None), params.training.float_baseline
    pooling = Pooling(network)
    if process_count() > 1:
        pooling = torch.nn.parallel.DistributedDataParallel(pooling)
    batches = draw_tuples(training_set, set_whitening(network, training_set), settings, params.run.seed, 1)[:1]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
    train_round(pooling, make_baseline_loss(settings), optimiser, training_set.views, batches)
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def save_first_gradients(training_set, params, folder):
    """What each of torchrun's processes does."""
    torch.distributed.init_process_group("gloo")
    save_file(first_gradients(training_set, params), folder / f"{torch.distributed.get_rank()}.safetensors")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_gradients_of_one(training_set, params, tmp_path):
    """Gloo processes, half of a batch each, against one with the whole batch."""
    script = tmp_path / "gradients.py"
    script.write_text(SCRIPT + "tests.save_first_gradients(training_set, params, folder)")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*torchrun, str(script), str(tmp_path)], cwd=HERE, check=True)
    one = first_gradients(training_set, params)
    for rank in range(2):
        of_rank = load_file(tmp_path / f"{rank}.safetensors")
        assert of_rank.keys() == one.keys()
        for name in one:
            torch.testing.assert_close(of_rank[name], one[name], rtol=1e-3, atol=1e-4 * one[name].abs().max().item(), msg=name)


def test_a_loss_that_is_not_finite_is_named_and_the_last_good_state_stays(training_set, params, tmp_path):
    train_float_baseline(training_set, with_baseline(params, rounds=1), tmp_path)
    good = (tmp_path / "state.pt").read_bytes()
    training_set.views[training_set.train] = float("inf")
    with pytest.raises((StudyError, ValueError), match=r"not finite|the loss became"):
        train_float_baseline(training_set, params, tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == good


def test_everything_can_train(params):
    """With frozen_blocks 0 the pixels are cached and the first block moves."""
    pixels = torch.randint(0, 256, (8, 2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pairs = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [4, 5], [5, 4]])
    training_set = TrainingSet(pixels, np.repeat(np.arange(4), 2), np.arange(8) < 6, pairs)
    network = HashNetwork(params.network.model_copy(update={"frozen_blocks": 0}), None)
    before, settings = network.late[0][0].weight.clone(), params.training.float_baseline
    batches = draw_tuples(training_set, set_whitening(network, training_set), settings, 7, 1)
    optimiser = torch.optim.AdamW(network.late.parameters(), lr=settings.learning_rate)
    train_round(Pooling(network), make_baseline_loss(settings), optimiser, pixels, batches)
    assert not torch.equal(network.late[0][0].weight, before)
