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

from bcdh_lib.cli import main, study_of
from bcdh_lib.study import find_root, open_study

ROOT = find_root(Path(__file__).parent)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def here(tmp_path, monkeypatch, checkpoint, album, taken):
    """A working directory with a study's settings, the album and a checkpoint in it."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for ending in (".safetensors", ".json"):
        shutil.copy(checkpoint.with_suffix(ending), tmp_path / f"model{ending}")
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("threads: 2", "threads: 1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_bar(printed):
    """The lines that were printed, without the progress bar."""
    return [line for line in printed.splitlines() if line and not line.startswith("photos: ")]


def test_it_is_installed_under_its_name_and_helps_without_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["bcdh"].split(":")
    assert getattr(sys.modules[module], function) is main
    code = "import sys\nfrom bcdh_lib.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True).returncode == 0


def test_from_a_folder_to_a_page(here, capsys):
    assert main(["index", "album", "--model", "model.safetensors"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("album.bcdh: 6 photos (6 new, ")
    assert without_bar(printed.err)[0] == "photos lost: 1 not an image"
    assert main(["search", "album.bcdh", "album/4.png", "album/inner/1.png", "-k", "2", "--html", "found.html"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[1], lines[3]] == ["album/4.png:", f"     0  {here}/album/4.png", "album/inner/1.png:"]
    assert len(lines) == 6
    assert (here / "found.html").read_text().count("<img") == 6
    for flags in (["--hamming"], ["--method", "ivf"], ["--distinct"], ["--within", "16"]):
        assert main(["search", "album.bcdh", "album/4.png", "-k", "2", *flags]) == 0
        assert capsys.readouterr().out.splitlines()[:2] == lines[:2]
    assert main(["search", "album.bcdh", "album/4.png", "-k", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["query"] == "album/4.png"
    assert found[0]["hits"][0] == {"distance": 0, "path": f"{here}/album/4.png", "copies": 1}


def test_a_folder_whose_name_is_not_utf8(here, capsys):
    """Nothing is named by the command line but the photos and the network; then an index is named so too."""
    place = here / os.fsdecode(b"caf\xe9")
    (here / "album").rename(place)
    for new in (6, 0):
        assert main(["index", str(place), "--model", "model.safetensors"]) == 0
        assert f"({new} new, " in capsys.readouterr().out
    for flags in ([], ["--method", "ivf"], ["--html", "found.html"], ["--json"]):
        assert main(["search", "caf\\xe9.bcdh", str(place / "0.png"), "-k", "1", *flags]) == 0
        assert "/caf\\xe9/0.png" in capsys.readouterr().out.replace("\\\\", "\\")
    index = os.fsdecode(b"index\xe9")
    assert main(["index", str(place), "--model", "model.safetensors", "--index", index]) == 0
    assert main(["search", index, str(place / "0.png"), "-k", "1"]) == 0


def test_good_queries_are_answered_and_the_bad_one_is_named(here, capsys):
    main(["index", "album", "--model", "model.safetensors"])
    capsys.readouterr()
    assert main(["search", "album.bcdh", "album/4.png", "album/notes.jpg", "-k", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["album/4.png:", f"     0  {here}/album/4.png"]
    assert re.fullmatch(r"album/notes\.jpg: not an image \(.*\); name a photo\n", printed.err)
    assert main(["search", "album.bcdh", "album/4.png", "-k", "1", "--html", "model.json/a.html"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["album/4.png:", f"     0  {here}/album/4.png"]
    assert re.fullmatch(r"model\.json: File exists; make room or give permission, or change --html\n", printed.err)
    assert main(["search", "album.bcdh", "album/notes.jpg", "--json"]) == 1
    assert "not an image" in json.loads(capsys.readouterr().out)[0]["error"]


def test_lost_photos_come_first_and_other_files_are_counted(here, capsys):
    """Lost is also what is named like a photo and is none, as after a disk lost its beginning."""
    for number in range(14):
        (here / f"album/{number}.json").write_text("text")
    (here / "album/4.png").write_bytes((here / "album/4.png").read_bytes()[:60])
    assert main(["index", "album", "--model", "model.safetensors"]) == 0
    lines = without_bar(capsys.readouterr().err)
    assert lines[0] == "photos lost: 1 not decodable, 1 not an image"
    assert lines[1].startswith("  4.png: not decodable (")
    assert lines[2].startswith("  notes.jpg: not an image (")
    assert lines[3:] == ["other files: 14 not an image", "all that was left out: album.bcdh/left_out.csv"]
    assert len(pd.read_csv("album.bcdh/left_out.csv")) == 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("index nowhere --model model.safetensors", "nowhere: does not exist"),
        ("index album", "there is no default network; pass --model"),
        ("search album album/4.png", "album: is no index"),
        ("evaluate rendered_oxford --model model.safetensors", "rendered_oxford: "),
        ("learn album --into album/study", "must not contain each other"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(here, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr("bcdh_lib.search.default_network.files.default_model.__defaults__", (here / "album",))
    assert main(arguments.split()) == 1
    printed = capsys.readouterr()
    (line,) = without_bar(printed.err)
    assert said in line
    assert printed.out == ""


def test_a_wrong_setting_is_named(here, capsys):
    (here / "params.yaml").write_text((here / "params.yaml").read_text().replace("min_side: 64", "min_side: no"))
    assert main(["index", "album", "--model", "model.safetensors"]) == 1
    assert "params.yaml: photos.min_side: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-k 0", "--within nan", "--distinct=-1", "--html photo.jpg", "--nprobe 1.5"])
def test_a_misspelt_command_is_a_matter_of_usage(capsys, option):
    with pytest.raises(SystemExit) as caught:
        main(["search", "index", "query.jpg", *option.split()])
    assert caught.value.code == 2
    assert "usage: bcdh" in capsys.readouterr().err


def test_scores_as_a_table_and_as_json(here, capsys, write_collection):
    write_collection(open_study(root=here), ["test", "test"])
    assert main(["evaluate", "collection", "--model", "model.safetensors"]) == 0
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title == "collection: dsh, 16 bits; 8 queries, 0 without positives"
    assert main(["evaluate", "collection", "--model", "model.safetensors", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [line.split()[:2] for line in lines] == [[row["scoring"], f"{row['map']:.3f}"] for row in rows]


def test_the_study_is_the_one_around_the_model_or_the_one_here(here, monkeypatch, tmp_path_factory):
    assert study_of(Path("model.safetensors")).root == here
    far = tmp_path_factory.mktemp("far")
    assert study_of(far / "model.safetensors").root == here
    monkeypatch.chdir(far)
    assert study_of(here / "model.safetensors").root == here


def test_a_reader_that_has_read_enough(here):
    """No traceback in `bcdh search ... | head -1`."""
    main(["index", "album", "--model", "model.safetensors"])
    command = [sys.executable, "-m", "bcdh_lib.cli", "search", "album.bcdh", "album/4.png"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


# Ctrl-C, which a terminal sends to the worker processes too, as the first part is written.
STOPPED = """
import os, signal, sys
from bcdh_lib.cli import main
from bcdh_lib.search import index_update
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
write = index_update.write_part
def stopped(*arguments):
    write(*arguments)
    os.killpg(0, signal.SIGINT)
index_update.write_part, index_update.PART_SECONDS = stopped, 0
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c(here, draw_photo, capsys, taken):
    """No traceback, not of the worker processes either; the same command continues."""
    for number in range(60):
        draw_photo(here / f"album/more {number}.png", number)
    arguments = ["index", "album", "--model", "model.safetensors"]
    run = [sys.executable, "-c", STOPPED, *arguments]
    process = subprocess.run(run, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True)
    assert process.returncode == 130
    assert "stopped; the same command" in process.stderr
    assert "Traceback" not in process.stderr
    assert main(arguments) == 0
    assert "66 photos (66 new" in capsys.readouterr().out
    assert len(taken) < 67
