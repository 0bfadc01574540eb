"""The whole step on the tiny collection: its results, damaged models, one worker, a cluster, killed and resumed."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pycolmap
import pytest
from PIL import Image

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.models import SUMS, build_models, divide, open_model, write_model
from bcdh_lib.reconstruction.reconstruct import reconstruct, work_folder
from bcdh_lib.study import Study
from tests.helpers import contents, refused

from .conftest import BLANK, STRAY, UNREADABLE, make_study
from .relief import photograph, relief

FIRST, SECOND = [0, 1, 3, 4], [5, 6, 7, 10]


def summary(study):
    return json.loads((study.reconstruction / "summary.json").read_text())


def test_a_model_a_relief(study):
    registrations = read_table(study.reconstruction, "registrations")
    models = registrations.groupby("model_id").photo_id.apply(list)
    assert sorted(models) == [FIRST, SECOND]
    assert registrations.group_id.nunique() == 2
    for model_id, photos in models.items():
        model = pycolmap.Reconstruction(study.reconstruction / "models" / str(model_id))
        assert sorted(image - 1 for image in model.reg_image_ids()) == photos


def test_tracks_are_what_the_models_see(study):
    registrations, tracks = (read_table(study.reconstruction, name) for name in ("registrations", "tracks"))
    assert tracks.groupby("photo_id").size().tolist() == registrations.n_points.tolist()
    model_of = registrations.set_index("photo_id").model_id
    assert (tracks.point_id // 2**32 == tracks.photo_id.map(model_of)).all()
    assert tracks.groupby("point_id").size().min() >= 2
    model = pycolmap.Reconstruction(study.reconstruction / "models/0")
    assert set(tracks.point_id[tracks.point_id < 2**32]) == set(model.point3D_ids())


def test_scale_follows_the_distance(study):
    """Photo 4 is taken from 1.3 times as far away as photo 3."""
    scale = read_table(study.reconstruction, "registrations").set_index("photo_id").scale
    assert scale[3] / scale[4] == pytest.approx(1.3, rel=0.1)


def test_photos_in_no_model_are_explained_and_counted(study):
    unregistered = read_table(study.reconstruction, "unregistered")
    reasons = {UNREADABLE: "no features", BLANK: "no features", STRAY: "no verified match"}
    assert unregistered.set_index("photo_id")["reason"].to_dict() == reasons
    counts = summary(study)
    assert (counts["photos"], counts["registered"], counts["models"], counts["groups"]) == (11, 8, 2, 2)
    assert counts["registered"] + sum(counts["unregistered"].values()) == counts["photos"]


def test_a_photo_in_two_models_stays_with_the_larger(study, tmp_path):
    models = [study.reconstruction / "models/0", study.reconstruction / "models/0", study.reconstruction / "models/1"]
    smaller = pycolmap.Reconstruction(models[0])
    smaller.deregister_frame(smaller.image(min(smaller.reg_image_ids())).frame_id)
    write_model(smaller, tmp_path)
    parts = divide(study, [tmp_path, models[0], models[2]])
    assert sorted(part.photos.tolist() for part in parts) == [FIRST, SECOND]
    assert tmp_path not in {part.model for part in parts}


@pytest.mark.parametrize(
    ("collection", "reasons"),
    [
        ([], {}),
        ([None, None], {"no features": 2}),
        ([Image.new("RGB", (320, 240))] * 3, {"no features": 3}),
        ([photograph(relief(4), 0.0)], {"no verified match": 1}),
        ([photograph(relief(seed), 0.0) for seed in (4, 5, 6)], {"no verified match": 3}),
        ([photograph(relief(4), angle) for angle in (-0.2, 0.2)], {"small model": 2}),
        ([photograph(relief(4), 0.0)] * 4, {"not registered": 4}),
    ],
    ids=["no photo", "all unreadable", "all blank", "a single photo", "nothing matches", "a pair", "all the same"],
)
def test_a_collection_without_models_ends_with_counts(tmp_path, collection, reasons):
    study = make_study(tmp_path, collection)
    reconstruct(study)
    counts = summary(study)
    assert (counts["photos"], counts["models"], counts["registered"]) == (len(collection), 0, 0)
    assert {reason: count for reason, count in counts["unregistered"].items() if count} == reasons
    assert len(read_table(study.reconstruction, "registrations")) == len(read_table(study.reconstruction, "tracks")) == 0


def test_again_and_with_one_worker_gives_the_same_bytes(study, photos, tmp_path):
    before = contents(study.reconstruction)
    alone = make_study(tmp_path, photos, threads=1)
    reconstruct(alone)
    assert contents(alone.reconstruction) == before


def test_a_cluster_gives_the_same_models(study, finished, dask_cluster, tmp_path):
    """The cluster changes no result, nor where unfinished work lies; test_parallel.py shows what a killed worker costs."""
    database, matches = shutil.copy(finished / "database.db", tmp_path), read_table(study.reconstruction, "candidates")
    elsewhere = Study(study.root, changed(study.params, {"cluster": {"scheduler": dask_cluster[0]}}))
    found = build_models(elsewhere, database, matches, tmp_path / "models")
    assert len(found) == 2
    assert contents(tmp_path / "models") == contents(finished / "models")
    assert work_folder(elsewhere).name == finished.name
    assert build_models(elsewhere, database, matches, tmp_path / "models") == found  # nothing is mapped again


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin", SUMS])
def test_a_damaged_model_is_one_line(study, tmp_path, name):
    folder = shutil.copytree(study.reconstruction / "models/0", tmp_path / "0")
    whole = (folder / name).read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    for content in ((2**62).to_bytes(8, "little") + whole[8:], whole + b"0", flipped, b"", whole[:-1], whole[: len(whole) // 2]):
        (folder / name).write_bytes(content)
        with refused("0: the model's files are damaged"):
            open_model(folder)
    (folder / name).unlink()
    with refused("[:;] dvc repro"):
        open_model(folder)


# Runs the step in small jobs, notes each piece of work once it is finished, and kills itself in the middle of one (which
# may be in another process: the counts are in a file).
RUN = """
import os, signal, sys, threading
from pathlib import Path
from bcdh_lib.reconstruction import database, features, matches, models, reconstruct
from bcdh_lib.study import Study, open_study
root, kill_in, kill_at, main = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), os.getpid()
features.PHOTOS_A_JOB, matches.PAIRS_A_JOB = 3, 6
begun = root / "begun.txt"
begun.write_text("")
def die():
    os.kill(main, signal.SIGKILL)
    os._exit(9)
def watch(place, function, pieces):
    work, name = getattr(place, function), f"{place.__name__}.{function}"
    def watched(*args, **kwargs):
        with open(begun, "a") as log:
            log.write(f"{name}\\n")
        dying = (name, begun.read_text().split().count(name)) == (kill_in, kill_at)
        done = pieces(args)
        if dying:
            threading.Timer(0.02, die).start()
        result = work(*args, **kwargs)
        if dying:
            die()
        with open(root / "done.txt", "a") as log:
            log.writelines(f"{name} {piece}\\n" for piece in done)
        return result
    setattr(place, function, watched)
watch(database, "add_excerpt", lambda args: database.query(args[2], f"SELECT {database.ID_COLUMN[args[0][0]]} FROM {args[0][0]}"))
watch(models, "map_component", lambda args: [args[2].photos[0]])
watch(reconstruct, "write_results", lambda args: [])
changes = {"run": {"threads": 1}, "reconstruction": {"max_features": 512, "words": 256}}
reconstruct.reconstruct(Study(root, open_study(changes, root).params))
"""


def test_killed_anywhere_it_goes_on_from_what_was_finished(study, photos, tmp_path):
    root = make_study(tmp_path, photos).root

    def run(kill_in="nothing", kill_at=0):
        command = [sys.executable, "-c", RUN, str(root), f"bcdh_lib.reconstruction.{kill_in}", str(kill_at)]
        return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True).returncode

    moments = {"database.add_excerpt": (2, 5), "models.map_component": (2,), "reconstruct.write_results": (1,)}
    for kill_in, kill_at in ((name, count) for name, counts in moments.items() for count in counts):
        assert run(kill_in, kill_at) == -9, (kill_in, kill_at)
        assert not (root / "data/reconstruction").exists()
    assert run() == 0
    assert contents(root / "data/reconstruction") == contents(study.reconstruction)
    done = pd.Series((root / "done.txt").read_text().splitlines())
    finished = done.str.split(n=1).str[0].str.removeprefix("bcdh_lib.reconstruction.").value_counts()
    assert done.is_unique  # nothing that was finished was done again
    assert finished["models.map_component"] == 2
    assert 0 < finished["database.add_excerpt"] <= len(read_table(study.reconstruction, "candidates")) + len(photos)
