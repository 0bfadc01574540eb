"""A study of one's own: complete, with its settings and nothing else changed, and nothing of the first one touched."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.search import own_study
from bcdh_lib.search.own_study import prepare_study, reproduce, settings_for, with_settings
from bcdh_lib.study import find_root

TEXT = (find_root() / "params.yaml").read_text()


def laid_over(settings, changes):
    for key, value in changes.items():
        section, name = key.split(".")
        settings[section] = settings[section] | {name: value}
    return settings


BEFORE = """# all
run:
  folder: 1  # not this
photos:
  folder: null      # a path
  list: [a, b]   # two
pairs:
  share: 0.0
"""
AFTER = """# all
run:
  folder: 1  # not this
photos:
  folder: /a b      # a path
  list: [c]   # two
pairs:
  share: 0.2
"""


def test_settings_by_hand():
    assert with_settings(BEFORE, {"photos.folder": "/a b", "photos.list": ["c"], "pairs.share": 0.2}) == AFTER


@pytest.mark.parametrize(
    "path", ["/a", "/with: colon", "/with # hash", "/with, comma]", '/"quotes\'s"', "/ünïcode", "/no", " /x "]
)
def test_only_these_settings_change_and_every_path_comes_back(path):
    changes = settings_for(Path(path)) | {"photos.folder": path}
    written = with_settings(TEXT, changes)
    assert yaml.safe_load(written) == laid_over(yaml.safe_load(TEXT), changes)
    assert with_settings(written, changes) == written
    before, after = TEXT.splitlines(), written.splitlines()
    assert len([1 for old, new in zip(before, after, strict=True) if old != new]) == 4  # pairs.source was it already


def test_a_setting_on_no_line_of_its_own_is_named():
    with pytest.raises(StudyError, match=r"params\.yaml: photos\.folder: is not on a line of its own"):
        with_settings("photos: {folder: null}\n", {"photos.folder": "/a"})


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_the_study_is_whole(photos, tmp_path):
    """All that dvc.yaml names and no stage makes is there; DVC reads it without git, and would run every stage."""
    into = tmp_path / "deep/study"
    assert prepare_study(photos, into)
    stages = yaml.safe_load((into / "dvc.yaml").read_text())["stages"]
    made = [
        Path(out if isinstance(out, str) else next(iter(out)))
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
    ]
    named = {Path(name) for stage in stages.values() for name in stage.get("deps", [])}
    missing = [
        name
        for name in named
        if not (into / name).exists() and not any(out.is_relative_to(name) or name.is_relative_to(out) for out in made)
    ]
    assert missing == []
    params = load_params(into / "params.yaml")
    assert (params.photos.source, params.photos.folder) == ("folder", str(photos))
    assert (params.pairs.test_share, params.retrieval.benchmarks) == (0.2, ["collection"])
    assert sorted(path.name for path in into.parent.iterdir()) == ["study"]
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"], cwd=into, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == list(stages)
    assert not list(into.rglob("__pycache__"))


def test_what_is_there_stays(photos, tmp_path):
    into = tmp_path / "study"
    prepare_study(photos, into)
    edited = (into / "params.yaml").read_text().replace("rounds: 5", "rounds: 9")
    (into / "params.yaml").write_text(edited)
    assert not prepare_study(photos, into)
    assert (into / "params.yaml").read_text() == edited
    (tmp_path / "others").mkdir()
    with pytest.raises(StudyError, match=r"params\.yaml: photos\.folder is .*photos, not .*others; name another"):
        prepare_study(tmp_path / "others", into)
    (into / "params.yaml").write_text("photos: 1\n")
    with pytest.raises(StudyError, match=r"study/params\.yaml"):
        prepare_study(photos, into)


def test_a_copy_that_was_stopped_is_made_anew(photos, tmp_path, monkeypatch):
    def stop(text, settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(own_study, "with_settings", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_study(photos, tmp_path / "study")
    assert not (tmp_path / "study").exists()
    assert prepare_study(photos, tmp_path / "study")
    assert not (tmp_path / "study.part").exists()


def test_places_that_are_refused(photos, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    for folder, into, said in (
        (photos, photos / "study", "lies in the other"),
        (photos, tmp_path, "lies in the other"),
        (photos, tmp_path / "a:b", "has a ':' in its path"),
        (photos, tmp_path / "full", "exists and is no study"),
        (photos, tmp_path / "full/thesis.txt", "exists and is no study"),
        (tmp_path / "nowhere", tmp_path / "study", "nowhere: does not exist"),
        (tmp_path / "full/thesis.txt", tmp_path / "study", "is a file"),
    ):
        with pytest.raises(StudyError, match=said) as caught:
            prepare_study(folder, into)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(StudyError, match=r"has no params\.yaml, dvc\.yaml, notebooks.*install bcdh from a clone"):
        prepare_study(photos, tmp_path / "study", template=tmp_path / "full")
    assert list(photos.iterdir()) == []


def test_what_runs_is_the_copied_library(photos, tmp_path):
    study = tmp_path / "study"
    prepare_study(photos, study)
    command = """python -c 'import bcdh_lib, os; os.chdir("notebooks"); print(bcdh_lib.__file__)' > where"""
    (study / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": {"cmd": command, "outs": ["where"]}}}))
    assert reproduce(study) == 0
    assert (study / "where").read_text().strip() == str(study / "bcdh_lib/__init__.py")
