"""The checkpoint that candidates come from: found, described for DVC, refused where it is absent or the study's own."""

import hashlib
import shutil

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction import work_folder
from bcdh_lib.reconstruction.candidate_checkpoint import checkpoint_files, describe_checkpoint, main
from bcdh_lib.study import find_root, open_study


@pytest.fixture
def study_with(tmp_path):
    """Opens a study of codes in tmp_path: study_with(checkpoint)."""
    (tmp_path / "params.yaml").write_bytes((find_root() / "params.yaml").read_bytes())

    def study_with(checkpoint, way="codes"):
        return open_study({"reconstruction": {"candidates": way, "checkpoint": str(checkpoint)}}, tmp_path)

    return study_with


def copied(checkpoint, folder):
    folder.mkdir(parents=True)
    for file in (checkpoint, checkpoint.with_suffix(".json")):
        shutil.copy(file, folder)
    return folder / checkpoint.name


def test_its_digests_by_hand(study_with, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    (tmp_path / "a.json").write_bytes(b"facts")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"weights", b"facts")]
    expected = f"{digests[0]} .safetensors\n{digests[1]} .json\n".encode()
    assert describe_checkpoint(study_with("a.safetensors")) == expected  # relative to params.yaml
    assert describe_checkpoint(study_with(tmp_path / "a.safetensors", "both")) == expected
    assert describe_checkpoint(study_with("a.safetensors", "words")) == b""


def test_a_missing_file_is_named(study_with, tmp_path):
    for absent in ("a.safetensors", "a.json"):
        with pytest.raises(StudyError, match=rf"reconstruction\.checkpoint: .*{absent}: is not there; name a checkpoint"):
            checkpoint_files(study_with("a.safetensors"))
        (tmp_path / "a.safetensors").write_bytes(b"")


@pytest.mark.parametrize("way", ["itself", "around", "linked folder", "linked file", "kept as links"])
def test_the_studys_own_is_refused(study_with, checkpoint, tmp_path, way):
    own = tmp_path / "data/checkpoints" / checkpoint.name
    if way == "kept as links":
        own.parent.mkdir(parents=True)
        own.symlink_to(copied(checkpoint, tmp_path / "cache"))
    else:
        copied(checkpoint, own.parent)
    (tmp_path / "folder").symlink_to(own.parent)
    (tmp_path / "file.safetensors").symlink_to(own)
    named = {
        "around": f"../{tmp_path.name}/data/./checkpoints/{own.name}",
        "linked folder": f"folder/{own.name}",
        "linked file": "file.safetensors",
    }.get(way, own)
    with pytest.raises(StudyError, match=r"is this study's own.*; copy it and its \.json out") as raised:
        checkpoint_files(study_with(named))
    assert "\n" not in str(raised.value)
    assert len(checkpoint_files(study_with(copied(checkpoint, tmp_path / "copies")))) == 2


def test_another_checkpoint_throws_unfinished_work_away(study_with, checkpoint, tmp_path):
    (tmp_path / "data/photos").mkdir(parents=True)
    (tmp_path / "data/photos/photos.parquet").write_bytes(b"made up")
    study = study_with(copied(checkpoint, tmp_path / "copies"))
    before = work_folder(study)
    assert work_folder(study) == before
    (tmp_path / "copies" / checkpoint.name).write_bytes(b"other weights")
    assert work_folder(study) != before
    assert not before.exists()


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "dvc.yaml").touch()
    text = (find_root() / "params.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    assert main() == 0
    assert (tmp_path / "data/checkpoint.txt").read_bytes() == b""
    (tmp_path / "params.yaml").write_text(
        text.replace("candidates: words ", "candidates: codes ").replace("checkpoint: null", "checkpoint: none.safetensors")
    )
    assert main() == 1
    assert capsys.readouterr().err.count("\n") == 1
