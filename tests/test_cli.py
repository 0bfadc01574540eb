"""The command line: each subcommand with its output as text and as JSON, its exit codes, one line for what is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from bcdh_lib import cli as command
from bcdh_lib.cli import main, study_of
from bcdh_lib.core.files import locked
from bcdh_lib.params import Expansion, Options
from bcdh_lib.search import evaluation, own_study
from bcdh_lib.study import find_root


@pytest.fixture
def here(tmp_path, monkeypatch, checkpoint, album, taken):
    """A working directory with a study's settings, the album and a checkpoint in it."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(find_root(Path(__file__).parent) / name, tmp_path)
    for ending in (".safetensors", ".json"):
        shutil.copy(checkpoint.with_suffix(ending), tmp_path / f"model{ending}")
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("threads: 2", "threads: 1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_bar(said):
    """The lines that were said, the progress bar's left out."""
    return [line for line in said.splitlines() if line and not line.startswith("photos:")]


def test_it_is_installed_under_its_name():
    project = tomllib.loads((find_root(Path(__file__).parent) / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["bcdh"].split(":")
    assert getattr(sys.modules[module], function) is main


def test_from_a_folder_to_a_page(here, capsys):
    assert main(["index", "album", "--model", "model.safetensors"]) == 0
    said = capsys.readouterr()
    assert said.out == "album.bcdh: 6 photos (6 new, 0 encoded anew, 0 gone)\n"
    assert "left out: 1 not an image\n  notes.jpg: not an image (begins like none" in said.err
    assert main(["search", "album.bcdh", "album/4.png", "album/inner/1.png", "-k", "2", "--html", "found.html"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[1], lines[3]] == ["album/4.png:", f"   0  {here}/album/4.png", "album/inner/1.png:"]
    assert len(lines) == 6
    assert (here / "found.html").read_text().count("<img") == 6
    for method in ("flat", "ivf", "multihash"):
        assert main(["search", "album.bcdh", "album/4.png", "-k", "2", "--method", method]) == 0
        assert capsys.readouterr().out.splitlines()[:2] == lines[:2]
    assert main(["search", "album.bcdh", "album/4.png", "-k", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["query"] == "album/4.png"
    assert found[0]["hits"][0] == {"distance": 0, "path": f"{here}/album/4.png"}
    assert [f"{hit['distance']:4d}  {hit['path']}" for hit in found[0]["hits"]] == lines[1:3]


def test_of_many_files_left_out_ten_are_named(here, capsys):
    for number in range(14):
        (here / f"album/text {number}").write_text("text")
    assert main(["index", "album", "--model", "model.safetensors"]) == 0
    said = without_bar(capsys.readouterr().err)
    assert said[0] == "left out: 15 not an image"
    assert len(said) == 12
    assert said[-1] == "  and 5 more: left_out.parquet in the index lists all"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("index nowhere --model model.safetensors", "nowhere: is not there"),
        ("index album", "album.bcdh: holds no index yet; name the network that shall make it with --model"),
        ("index album --model album/notes.jpg", "album/notes.jpg: is no checkpoint"),
        ("index album --model model.safetensors --index album", "album: lies among the photos"),
        ("index empty --model model.safetensors", "empty: holds no usable photo (it is empty)"),
        ("search album album/4.png", "album: holds no index"),
        ("evaluate oxford --model model.safetensors", "oxford is unknown; known: rendered_oxford"),
        ("evaluate rendered_oxford --model model.safetensors", "rendered_oxford: is not there"),
        ("evaluate pile --model model.safetensors", "members.parquet: is not there; make it with: dvc repro pairs"),
        ("evaluate pile --model model.safetensors --distractors nowhere", "nowhere: is not there"),
        ("evaluate pile --model model.safetensors --distractors album --recentre", "leave out --recentre or --distractors"),
        ("learn nowhere", "nowhere: is not there"),
        ("learn album --into album/study", "must lie apart"),
        ("learn album --into empty/study", "bcdh_lib: No such file or directory"),  # this folder holds settings alone
    ],
)
def test_what_is_wrong_is_said_in_a_line(here, capsys, arguments, said):
    (here / "empty").mkdir()
    assert main(arguments.split()) == 1
    printed = capsys.readouterr()
    lines = without_bar(printed.err)
    assert said in lines[-1]
    assert len(lines) == 1
    assert printed.out == ""


def test_a_setting_that_is_wrong_and_a_lock_that_is_held(here, capsys):
    assert main(["index", "album", "--model", "model.safetensors"]) == 0
    with locked(here / "album.bcdh/lock"):
        capsys.readouterr()
        assert main(["index", "album"]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(rf"album\.bcdh/lock: held by process {os.getpid()} on .*; wait until it ends, or stop it\n", said)
    (here / "params.yaml").write_text((here / "params.yaml").read_text().replace("min_side: 64", "min_side: no"))
    assert main(["index", "album", "--model", "model.safetensors"]) == 1
    assert "params.yaml: photos.min_side: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "find",
        "index",
        "search i",
        "search i q -k 0",
        "search i q --method tree",
        "evaluate pile",
        "evaluate pile --model m --scales 1 0",
        "evaluate pile --model m --scales none",
        "evaluate pile --model m --expand 0",
        "evaluate pile --model m --augment 1 --alpha -1",
        "evaluate pile --model m --augment 1 --alpha nan",
        "learn",
    ],
)
def test_a_misspelt_command_is_a_matter_of_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert "usage: bcdh" in capsys.readouterr().err


def test_an_error_of_our_own_is_not_hidden(here, monkeypatch):
    monkeypatch.setattr(command, "study_of", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["index", "album", "--model", "model.safetensors"])


SCORES = {"benchmark": "pile", "method": "dsh", "queries": 9, "empty": 1, "map_worst": 0.25, "map_best": 0.75, "distractors": 0}


def test_scores_as_a_table_and_as_json(here, capsys, monkeypatch):
    names = [(False, None), (True, None), (False, "query_expansion")]
    rows = [SCORES | {"bits": 16, "map": 0.5, "map_rectangle": 0.4, "recentred": each, "option": name} for each, name in names]
    table = pd.DataFrame(rows).astype({"bits": "Int32"})
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments: asked.append(arguments[3:]) or table)
    assert main(["evaluate", "pile", "--model", "model.safetensors", "--recentre"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pile: 9 queries, 1 of them without an answer, left out",
        "                                mAP trapezoid    worst to best  mAP rectangle",
        "dsh, 16 bits                            0.500   0.250 to 0.750          0.400",
        "recentred                               0.500   0.250 to 0.750          0.400",
        "query_expansion                         0.500   0.250 to 0.750          0.400",
    ]
    assert main(["evaluate", "pile", "--model", "model.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    table = table.assign(distractors=[0, 0, 1_000_000], recentred=False, option=None)
    assert main(["evaluate", "pile", "--model", "model.safetensors"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("with 1,000,000 distractors              0.500   0.250 to")
    table["bits"] = pd.NA
    assert main(["evaluate", "pile", "--model", "model.safetensors"]) == 0
    assert "dsh, real  " in capsys.readouterr().out
    flags = ["--scales", "1", "0.5", "--expand", "5", "--augment", "2", "--alpha", "0"]
    assert main(["evaluate", "pile", "--model", "model.safetensors", *flags]) == 0
    expansion, augmentation = Expansion(neighbours=5, alpha=0.0), Expansion(neighbours=2, alpha=0.0)
    wanted = Options(scales=[1.0, 0.5], query_expansion=expansion, database_augmentation=augmentation)
    assert [asked[0], asked[-1]] == [(True, Options(), None), (False, wanted, None)]


def test_distractors_are_indexed_first_but_an_index_is_taken_as_it_is(here, capsys, monkeypatch, draw_photo):
    given = []
    table = pd.DataFrame([SCORES | {"bits": 16, "map": 0.5, "map_rectangle": 0.4, "recentred": False, "option": None}])
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments: given.append(arguments[-1]) or table)
    evaluate = ["evaluate", "pile", "--model", "model.safetensors"]
    (here / "photos.txt").write_text("album/2.png\nalbum/4.png\n")
    sha256 = json.loads((here / "model.json").read_text())["sha256"]
    for photos, name, counts in (("album", "album", "6 photos (6 new"), ("photos.txt", "photos", "2 photos (2 new")):
        assert main([*evaluate, "--distractors", photos]) == 0
        assert given.pop() == Path(f"{name}-{sha256[:12]}.bcdh")
        assert f"{name}-{sha256[:12]}.bcdh: {counts}" in capsys.readouterr().err
    draw_photo(here / "album/6.png", 6)
    index = f"album-{sha256[:12]}.bcdh"
    assert main([*evaluate, "--distractors", index]) == 0
    assert given.pop() == Path(index)
    assert capsys.readouterr().err == ""
    assert main([*evaluate, "--distractors", "album"]) == 0
    assert "7 photos (1 new" in capsys.readouterr().err


def test_learning_prepares_and_runs(here, capsys, monkeypatch):
    ran = []
    monkeypatch.setattr(own_study, "prepare_study", lambda photos, into: not ran)
    monkeypatch.setattr(own_study, "reproduce", lambda study: ran.append(study) or len(ran) - 1)
    assert main(["learn", "album", "--prepare"]) == 0
    assert ran == []
    said = capsys.readouterr().out
    assert said.startswith("album-study: a study of its own, with the settings of params.yaml but photos.source: folder, ")
    assert f"photos.folder: {here}/album" in said
    assert main(["learn", "album"]) == 0
    assert ran == [Path("album-study")]
    assert "Next: bcdh index album --model album-study/data/checkpoints/NAME.safetensors" in capsys.readouterr().out
    assert main(["learn", "album"]) == 1
    said = capsys.readouterr()
    assert said.out == "album-study: goes on, with the settings of its own params.yaml\n"
    assert said.err == "album-study: dvc repro failed, see above; the same command goes on where it was\n"


def test_the_study_is_the_one_around_the_model_or_the_one_here(here, monkeypatch, tmp_path_factory):
    assert study_of(Path("model.safetensors")).root == here
    far = tmp_path_factory.mktemp("far")
    assert study_of(far / "model.safetensors").root == here
    monkeypatch.chdir(far)
    assert study_of(here / "model.safetensors").root == here
    assert main(["index", str(here / "album"), "--model", str(far / "model.safetensors")]) == 1


# Ctrl-C, which a terminal sends to the worker processes too, as the first photo is noted.
STOPPED = """
import os, signal, sys
from bcdh_lib.cli import main
from bcdh_lib.search import index_update
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
note = index_update.note
def stopped(one):
    os.killpg(0, signal.SIGINT)
    return note(one)
index_update.note = stopped
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c(here, draw_photo, capsys):
    """No traceback, not of the worker processes either; the same command goes on."""
    for number in range(100):
        draw_photo(here / f"album/more {number}.png", number)
    arguments = ["index", "album", "--model", "model.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(find_root(Path(__file__).parent))}
    run = [sys.executable, "-c", STOPPED, *arguments]
    process = subprocess.run(run, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    said = process.stderr
    assert process.returncode == 130
    assert without_bar(said) == ["stopped; the same command goes on where it was"]
    assert main(arguments) == 0
    assert "106 photos (106 new" in capsys.readouterr().out
