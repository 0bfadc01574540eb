"""The default network: packed small from a checkpoint, with the study's settings; used without --model."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from bcdh_lib.core.errors import StudyError
from bcdh_lib.search.default_network import __main__ as command
from bcdh_lib.search.default_network.files import FOLDER, default_model, default_photos, pack_network
from bcdh_lib.study import find_root
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.network import HashNetwork


@pytest.fixture
def packed(checkpoint, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(find_root() / name, tmp_path)
    for ending in (".safetensors", ".json"):
        shutil.copy(checkpoint.with_suffix(ending), tmp_path)
    (tmp_path / "packed").mkdir()
    return pack_network(tmp_path / checkpoint.name, tmp_path / "packed")


def test_it_is_small_and_gives_the_same_outputs(packed, checkpoint):
    assert packed.stat().st_size < 0.6 * checkpoint.stat().st_size
    (small, facts), (whole, _) = load_checkpoint(packed), load_checkpoint(checkpoint)
    views = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        np.testing.assert_allclose(small(views).numpy(), whole(views).numpy(), rtol=0.05, atol=0.05)
    assert facts["method"] == "dsh"
    limits = default_photos(packed.parent)
    assert (limits.source, limits.folder, limits.max_side) == ("rendered", None, 640)


def test_what_cannot_be_the_default_network(params, tmp_path, packed, capsys, monkeypatch):
    save_checkpoint(tmp_path / "float.safetensors", HashNetwork(params.network, None), {"method": "float"})
    with pytest.raises(StudyError, match="gives real vectors"):
        pack_network(tmp_path / "float.safetensors", tmp_path)
    with pytest.raises(StudyError, match="there is no default network; pass --model"):
        default_model(tmp_path)
    facts = json.loads(packed.with_suffix(".json").read_text())
    packed.with_suffix(".json").write_text(json.dumps(facts | {"photos": {}}))
    with pytest.raises(StudyError, match=r"model\.json: photos\."):
        default_photos(packed.parent)
    assert command.main([]) == 2
    assert command.main([str(tmp_path / "gone.safetensors")]) == 1
    assert "gone.safetensors" in capsys.readouterr().err
    monkeypatch.setattr(command, "pack_network", lambda _: packed)
    assert command.main(["model"]) == 0


@pytest.mark.skipif(not (FOLDER / "model.safetensors").is_file(), reason="this clone has no default network")
def test_the_one_that_ships():
    """It is the file that model.json describes, at most 20 MB, and gives codes."""
    path = default_model()
    assert path.stat().st_size <= 20e6
    network, facts = load_checkpoint(path)
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.bits == facts["bits"] == 128
    assert default_photos().source == "rendered"
