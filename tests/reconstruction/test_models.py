"""Models on disk, sound and damaged; mapping on a Dask cluster of two processes, one of which is killed."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from threading import Timer

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction import models
from bcdh_lib.reconstruction.models import SUMS, Component, build_models, open_model
from bcdh_lib.reconstruction.reconstruct import work_folder
from bcdh_lib.study import Study

from .test_reconstruct import contents


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin", SUMS])
def test_a_damaged_file_is_one_line(study, tmp_path, name):
    folder = Path(shutil.copytree(study.reconstruction / "models/0", tmp_path / "0"))
    whole = (folder / name).read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    for content in ((2**62).to_bytes(8, "little") + whole[8:], whole + b"0", flipped, b"", whole[:-1], whole[: len(whole) // 2]):
        (folder / name).write_bytes(content)
        with pytest.raises(StudyError, match=r"^[^\n]*0: the model's files are damaged[^\n]*$"):
            open_model(folder)
    (folder / name).unlink()
    with pytest.raises(StudyError, match=r"^[^\n]+: dvc repro[^\n]*$|^[^\n]*; dvc repro[^\n]*$"):
        open_model(folder)


def map_or_die(note: Path, study: Study, database: Path, component: Component) -> int:
    """Map the component; the first worker to start is killed while it maps."""
    try:
        note.open("x").close()
    except FileExistsError:
        return models.map_component(study, database, component)
    Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()
    models.map_component(study, database, component)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_cluster_gives_the_same_models_though_a_worker_is_killed(study, finished, dask_cluster, tmp_path, monkeypatch):
    address, workers, _ = dask_cluster
    database = shutil.copy(finished / "database.db", tmp_path / "database.db")
    matches = read_table(study.reconstruction, "candidates")
    cluster = study.params.cluster.model_copy(update={"scheduler": address})
    elsewhere = Study(study.root, study.params.model_copy(update={"cluster": cluster}))
    monkeypatch.setattr(models, "map_component", partial(map_or_die, tmp_path / "killed"))
    found = build_models(elsewhere, database, matches, tmp_path / "models")
    assert [worker.poll() for worker in workers].count(-signal.SIGKILL) == 1
    assert len(found) == 2
    made = contents(tmp_path / "models")
    assert {name: data for name, data in made.items() if not name.startswith("unfinished-")} == contents(finished / "models")
    assert work_folder(elsewhere).name == finished.name  # the cluster changes no result
    assert build_models(elsewhere, database, matches, tmp_path / "models") == found  # nothing is mapped again
