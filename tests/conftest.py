"""What several tests share: the study's own settings, and tiny training sets of random activations."""

import json
import os
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.parallel import ONE_THREAD
from bcdh_lib.core.tables import write_table
from bcdh_lib.params import run_name
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.retrieval.codes import code_outputs, write_system_codes
from bcdh_lib.retrieval.score import score
from bcdh_lib.retrieval.systems import systems
from bcdh_lib.search import index_update
from bcdh_lib.study import Study, find_root, open_study
from bcdh_lib.training.checkpoint import save_checkpoint
from bcdh_lib.training.device import prepare
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet


def pytest_collection_modifyitems(items):
    """The longest file first, so that all others fill the second worker meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")


@pytest.fixture(scope="session")
def params():
    """The study's settings with a small, quick network and a short training."""
    changes = {
        "run": {"threads": 1},
        "network": {"side": 64, "frozen_blocks": 15},
        "training": {
            "float_baseline": {"rounds": 2, "steps_per_round": 2, "tuples": 4, "negatives": 2, "views": 1, "learning_rate": 1e-3},
            "hash_layer": {"rounds": 2, "steps_per_round": 5, "photos": 16, "places": 4},
            "end_to_end": {"rounds": 0},
        },
    }
    params = open_study(changes, find_root()).params
    prepare(params)
    return params


@pytest.fixture
def training_set():
    """24 photos of 6 groups whose activations (of the blocks that `params` leaves to train) hold their group, and noise."""
    generator = torch.Generator().manual_seed(0)
    group = np.repeat(np.arange(6), 4)
    meaning, noise = torch.randn(6, 192, 1, 1, generator=generator), torch.randn(24, 2, 192, 2, 2, generator=generator)
    noise[:, :, :96] *= 3  # half of the channels carry no meaning: what training can find out
    meaning[:, :96] = 0
    pairs = np.array([(i, j) for i in range(24) for j in range(24) if i != j and group[i] == group[j]])
    return TrainingSet(meaning[group][:, None] + noise, group, group < 4, pairs)


@pytest.fixture
def study(tmp_path, params):
    """A study folder whose tables are made-up bytes: only what they are digested for."""
    study = Study(tmp_path, params)
    for path in (study.pairs / "members.parquet", study.pairs / "pairs.parquet", study.photos / "photos.parquet"):
        write_bytes(path, b"made up")
    return study


@pytest.fixture(scope="session")
def untrained(params, tmp_path_factory):
    """Saves a pretrained network that has learned nothing, of codes or (bits: None) of real vectors: untrained(bits, seed)."""

    def save(bits, seed=0):
        method = "dsh" if bits else "float"
        path = tmp_path_factory.mktemp("checkpoints") / f"{run_name(method, bits)}.safetensors"
        torch.manual_seed(seed)
        save_checkpoint(path, HashNetwork(params.network, bits), {"method": method})
        return path

    return save


@pytest.fixture(scope="session")
def checkpoint(untrained):
    """A checkpoint of 16-bit codes."""
    return untrained(16, seed=3)


@pytest.fixture(scope="session")
def draw_photo():
    """Draws a photo of 96 x 72 px and two colours, a different one for each number: draw_photo(path, number)."""

    def draw(path, number):
        colours = np.random.default_rng(number).integers(0, 256, (2, 3), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.repeat(colours, [10 + 6 * number % 50, 62 - 6 * number % 50], axis=0)[:, None].repeat(96, 1)
        Image.fromarray(pixels).save(path)

    return draw


@pytest.fixture
def write_collection(draw_photo):
    """Writes the photos and tables of groups of four, given the split of each group; every pair of a group is similar."""

    def write(study, splits):
        ids, group = np.arange(4 * len(splits)), np.arange(4 * len(splits)) // 4
        for photo in ids:
            draw_photo(study.image(photo), photo)
        photos = pd.DataFrame({"photo_id": ids, "path": [f"{photo}.jpg" for photo in ids], "width": 96, "height": 72})
        write_table(study.photos, "photos", photos.assign(sha256="", source="folder"))
        members = pd.DataFrame({"photo_id": ids, "model_id": group, "group_id": group, "split": np.array(splits)[group]})
        write_table(study.pairs, "members", members)
        similar = [(i, j) for i in ids for j in ids if i != j and i // 4 == j // 4]
        pairs = pd.DataFrame(similar, columns=["query_id", "positive_id"])
        known = {"shared_points": 9, "shared_share": 0.5, "scale_change": 1.0}
        write_table(study.pairs, "pairs", pairs.assign(model_id=pairs["query_id"] // 4, **known))

    return write


@pytest.fixture
def album(tmp_path, draw_photo):
    """A folder of six photos, half of them in a subfolder, and a text file named like a photo."""
    album = tmp_path / "album"
    for number in range(6):
        draw_photo(album / ("inner" if number % 2 else ".") / f"{number}.png", number)
    (album / "notes.jpg").write_text("no photo")
    return album


@pytest.fixture
def taken(monkeypatch):
    """The paths of the files that an index decodes, from here on one after the other in this very process."""
    taken = []
    prepare_process()

    def in_this_process(take, jobs, workers):
        jobs = list(jobs)
        taken.extend(path for path, _ in jobs)
        return map(take, jobs)

    monkeypatch.setattr(index_update, "decode_all", in_this_process)
    return taken


@pytest.fixture(scope="session")
def scored_study(tmp_path_factory, draw_photo):
    """A study of 40 photos in a benchmark of Oxford's form, with random codes of all systems, scored, and one executed notebook.

    Six queries: the third has no positive, the fourth answers nothing but itself, the others have junk. Codes of 16 bits tie.
    """
    root, random = tmp_path_factory.mktemp("scored"), np.random.default_rng(5)
    settings = yaml.safe_load((find_root() / "params.yaml").read_text())
    settings["retrieval"]["benchmarks"] = ["rendered_oxford"]
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    study = open_study(root=root)
    folder = study.benchmarks / "rendered_oxford"
    (folder / "groundtruth").mkdir(parents=True)
    names = [f"hall_{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        draw_photo(folder / f"images/{name}.jpg", number)
    for number in range(6):
        mixed = random.permutation(names)
        good, junk = {2: ([], mixed[:3]), 3: ([names[number]], [])}.get(number, (mixed[:5], mixed[5:9]))
        parts = {"query": [f"oxc1_{names[number]} 9.5 6 60 54"], "good": good, "ok": [], "junk": junk}
        for part, lines in parts.items():
            (folder / f"groundtruth/hall_{number}_{part}.txt").write_text("\n".join(lines))
    members = pd.DataFrame({"photo_id": range(32), "model_id": 0, "group_id": 0, "split": "train"})
    write_table(study.pairs, "members", members)
    for system in systems(study):
        queries, database = (random.normal(size=(rows, system.bits or 8)).astype(np.float32) for rows in (6, 40))
        write_system_codes(study, "rendered_oxford", system, code_outputs(queries, database, system.bits))
    score(study)
    (study.reports / "executed").mkdir()
    title = new_markdown_cell("# Photos\n\nWhat they are.", id="title")
    nbformat.write(new_notebook(cells=[title]), study.reports / "executed/01_photos.ipynb")
    line = {"benchmark": "rendered_oxford", "method": "dsh", "bits": 64, "map": 0.5, "map_best": 0.5, "map_worst": 0.5}
    (study.reports / "metrics.json").write_text(json.dumps({"counts": {}, "retrieval": [{**line, "map_rectangle": 0.5}]}))
    return study


@pytest.fixture
def dask_cluster():
    """A Dask scheduler's address, two worker processes of it on this machine, and the scheduler; they find the tests' modules."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -c constraints.txt -e .[cluster]")
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)}
    with distributed.LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as local:
        address = local.scheduler_address
        command = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        workers = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=300)
        yield address, workers, local.scheduler
        for worker in workers:
            worker.kill()
            worker.wait()
