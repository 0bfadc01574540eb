"""The default network, packed and read back; 'bcdh learn' on a folder: its settings, every step once, networks that index."""

import hashlib
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

from bcdh_lib.cli import main
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.search import own_study
from bcdh_lib.search.default_network import __main__ as command
from bcdh_lib.search.default_network import files
from bcdh_lib.search.index_update import update_index
from bcdh_lib.search.own_study import learn_from, learned_model, prepare_study
from bcdh_lib.study import open_study
from bcdh_lib.training.checkpoint import load_checkpoint
from tests.helpers import contents, draw_vectors, refused


@pytest.fixture(scope="module")
def baseline(untrained):
    return untrained(None)


@pytest.fixture(scope="module")
def vectors():
    return draw_vectors(groups=10, each=4, meaning=640, noise=640)  # in the network's 1280 channels


@pytest.fixture(scope="module")
def packed(baseline, vectors, params, tmp_path_factory):
    return files.pack_network(baseline, vectors, params, tmp_path_factory.mktemp("packed"))


def test_the_default_network_is_small_and_its_parts_fit_each_other(packed, baseline, vectors, params):
    assert sum(path.stat().st_size for path in packed.iterdir()) < 0.6 * baseline.stat().st_size + 1.5e6
    network, facts = load_checkpoint(files.default_model(packed))
    default = files.default_network(packed)
    assert (facts["bits"], facts["sha256"], sorted(default.layers)) == (128, default.sha256, [64, 128])
    views = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = default.baseline(views)
        np.testing.assert_allclose(default.layers[128](own).numpy(), network(views).numpy(), atol=0.02)
        np.testing.assert_allclose(own.numpy(), load_checkpoint(baseline)[0](views).numpy(), atol=0.01)
    np.testing.assert_allclose(default.mean, vectors.vectors.mean(0), atol=1e-4)
    true = np.cov(vectors.vectors.T)
    np.testing.assert_allclose(default.covariance, true / np.trace(true), atol=1e-4)
    settings = files.default_settings(packed)
    assert (settings.photos.source, settings.photos.folder) == ("rendered", None)
    assert files.photos_in(packed / "model.safetensors") == settings.photos
    assert files.photos_in(baseline) is None


def test_what_cannot_be_the_default_network(packed, checkpoint, vectors, params, tmp_path, capsys):
    with pytest.raises(StudyError, match="has a hash layer"):
        files.pack_network(checkpoint, vectors, params, tmp_path)
    with pytest.raises(StudyError, match="there is no default network; pass --model"):
        files.default_model(tmp_path)
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(facts | {"settings": {"photos": {}}}))
    for read in (files.default_settings, lambda folder: files.photos_in(folder / "model.safetensors")):
        with pytest.raises(StudyError, match=r"model\.json: settings\."):
            read(tmp_path)
    for broken in (b"", (tmp_path / "learning.safetensors").read_bytes()[:-9]):
        (tmp_path / "learning.safetensors").write_bytes(broken)
        with pytest.raises(StudyError, match=r"learning\.safetensors: cannot be read"):
            files.default_network(tmp_path)
    assert command.main(["one"]) == 2
    assert command.main([str(tmp_path / "gone.safetensors"), str(tmp_path / "gone.npz")]) == 1
    assert "gone.npz: holds no vectors" in capsys.readouterr().err


def test_the_command_takes_the_tuned_loss(baseline, vectors, params, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(command, "pack_network", lambda path, given, params: made.append((path, given, params)) or tmp_path)
    np.savez(tmp_path / "v.npz", views=vectors.views, group=vectors.group, train=vectors.train, pairs=vectors.pairs)
    (tmp_path / "chosen.json").write_text(json.dumps({files.METHOD: {"configuration": {"learning_rate": 0.0123}}}))
    assert command.main([str(baseline), str(tmp_path / "v.npz"), str(tmp_path / "chosen.json")]) == 0
    path, given, changed = made[0]
    assert path == baseline
    assert (given.pairs == vectors.pairs).all()
    assert changed.losses[files.METHOD]["learning_rate"] == 0.0123
    assert capsys.readouterr().out.startswith(str(tmp_path))
    by_length = {files.METHOD: {"128": {"configuration": {"learning_rate": 0.0123}}}}
    (tmp_path / "chosen.json").write_text(json.dumps(by_length))  # what `make study` writes
    assert command.main([str(baseline), str(tmp_path / "v.npz"), str(tmp_path / "chosen.json")]) == 1
    assert "chosen.json: has no" in capsys.readouterr().err


@pytest.mark.skipif(not (files.FOLDER / "model.safetensors").is_file(), reason="this clone has no default network")
def test_the_one_that_ships():
    """It is the files that model.json describes, at most 20 MB, gives codes, and its settings are today's."""
    path = files.default_model()
    assert sum(file.stat().st_size for file in path.parent.glob("*.safetensors")) <= 20e6
    network, facts = load_checkpoint(path)
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.bits == 128
    assert sorted(files.default_network().layers) == [64, 128]
    assert files.default_settings().photos.source == "rendered"


@pytest.fixture(scope="module")
def small(baseline, vectors, params, tmp_path_factory):
    """A small default network, with codes of 16 and 8 bits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "BITS", (16, 8))
        return files.pack_network(baseline, vectors, params, tmp_path_factory.mktemp("default"))


@pytest.fixture
def default(small, monkeypatch):
    """The small default network takes the place of the one that ships."""
    for function in (files.default_model, files.default_settings, files.default_network):
        monkeypatch.setattr(function, "__defaults__", (small,))


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
    assert table["bits"].tolist() == [16, 16, 8, 8]
    assert table[["codes", "chosen"]].values.tolist() == 2 * [["default", False], ["own statistics", True]]
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
