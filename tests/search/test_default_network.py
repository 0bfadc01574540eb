"""The default network: packed small from a float baseline, with the study's settings; read back as it was."""

import hashlib
import json

import numpy as np
import pytest
import torch

from bcdh_lib.core.errors import StudyError
from bcdh_lib.search.default_network import __main__ as command
from bcdh_lib.search.default_network import files
from bcdh_lib.training.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def packed(baseline, vectors, params, tmp_path_factory):
    return files.pack_network(baseline, vectors, params, tmp_path_factory.mktemp("packed"))


def test_it_is_small_and_its_parts_fit_each_other(packed, baseline, vectors, params):
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
