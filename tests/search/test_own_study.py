"""`bcdh learn` on a folder: its own settings, every step once, networks that `bcdh index` takes; places that are refused."""

import os

import pandas as pd
import pytest

from bcdh_lib.cli import main
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.search import own_study
from bcdh_lib.search.default_network import files
from bcdh_lib.search.index_update import update_index
from bcdh_lib.search.own_study import learn_from, learned_model, prepare_study
from bcdh_lib.study import open_study
from tests.helpers import contents, refused


@pytest.fixture(scope="module")
def packed(baseline, vectors, params, tmp_path_factory):
    """A small default network, with codes of 16 and 8 bits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "BITS", (16, 8))
        return files.pack_network(baseline, vectors, params, tmp_path_factory.mktemp("default"))


@pytest.fixture
def default(packed, monkeypatch):
    """The small default network takes the place of the one that ships."""
    for function in (files.default_model, files.default_settings, files.default_network):
        monkeypatch.setattr(function, "__defaults__", (packed,))


def test_a_folder_without_places_gives_networks_that_index(default, album, tmp_path, taken, capsys):
    """Drawn photos have no 3D model: the default network with their statistics, said in the table; again nothing is done."""
    into = tmp_path / "a study"
    assert main(["learn", str(album), "--into", str(into), "--exclude", "*.gif"]) == 0
    printed = capsys.readouterr()
    assert "  notes.jpg: not an image" in printed.err
    assert " 16 own statistics\n     used: 0 places have" in printed.out
    assert printed.out.endswith(f"--model '{into}/learned-16.safetensors' --index {tmp_path}/album-learned.bcdh\n")
    params = load_params(into / "params.yaml")
    assert (params.photos.source, params.photos.folder, params.photos.exclude) == ("folder", str(album), ["*.gif"])
    before, study = contents(into), open_study(root=into)
    table, left_out = learn_from(study)
    assert contents(into) == before
    assert [one.path for one in left_out] == pd.read_csv(into / "left_out.csv")["path"].tolist() == ["notes.jpg"]
    assert table[["bits", "codes", "chosen"]].to_dict("list") == {
        "bits": [16, 16, 8, 8],
        "codes": ["default", "own statistics"] * 2,
        "chosen": [False, True] * 2,
    }
    assert pd.read_csv(into / "learned.csv")["chosen"].tolist() == table["chosen"].tolist()
    assert update_index(tmp_path / "index", album, learned_model(study, 8)).photos == 6


def test_activations_go_on_where_they_stopped(default, album, tmp_path, monkeypatch):
    prepare_study(album, tmp_path / "study")
    study = open_study(root=tmp_path / "study")
    own_study.collect_photos(study)
    monkeypatch.setattr(own_study, "BLOCK", 2)
    whole = own_study.cache_photos(study, files.default_network())
    assert whole.shape[:2] == (6, 1)
    parts = sorted((study.work / "activations").rglob("*.npy"))
    assert len(parts) == 3
    parts[1].unlink()
    assert (own_study.cache_photos(study, files.default_network()) == whole).all()


def test_what_is_there_stays(default, album, tmp_path):
    into = tmp_path / "study"
    prepare_study(album, into)
    edited = (into / "params.yaml").read_text().replace("max_side: 640", "max_side: 320")
    (into / "params.yaml").write_text(edited)
    assert not prepare_study(album, into)
    assert (into / "params.yaml").read_text() == edited
    (tmp_path / "others").mkdir()
    with refused(r"params\.yaml: photos\.folder is .*album, not .*others; name another"):
        prepare_study(tmp_path / "others", into)
    (into / "params.yaml").write_text("photos: 1\n")
    with pytest.raises(StudyError, match=r"study/params\.yaml"):
        prepare_study(album, into)


def test_every_path_comes_back(default, tmp_path):
    for number, name in enumerate(["with: colon", "with # hash", "'quotes\"", "ünïcode", "no", " x "]):
        (tmp_path / name).mkdir()
        prepare_study(tmp_path / name, tmp_path / f"a:{number}")
        assert load_params(tmp_path / f"a:{number}/params.yaml").photos.folder == str(tmp_path / name)


def test_places_that_are_refused(default, album, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    before = sorted(album.rglob("*"))
    for folder, into, said in (
        (album, album / "study", "must not contain each other"),
        (album, tmp_path, "must not contain each other"),
        (album, tmp_path / "full", "is no folder of bcdh learn"),
        (album, tmp_path / "full/thesis.txt", "is no folder of bcdh learn"),
        (album, tmp_path / os.fsdecode(b"caf\xe9"), r"caf\\xe9: is not UTF-8"),
        (tmp_path / "nowhere", tmp_path / "study", "nowhere: does not exist"),
        (tmp_path / "full/thesis.txt", tmp_path / "study", "is a file"),
    ):
        with refused(said):
            prepare_study(folder, into)
    assert sorted(album.rglob("*")) == before
