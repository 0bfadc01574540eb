"""Mapping components on a Dask cluster of two processes, one killed at it: the models that processes of this machine give."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from threading import Timer

from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction import models, work_folder
from bcdh_lib.reconstruction.models import Component, build_models
from bcdh_lib.study import Study

from .test_reconstruct import contents


def map_or_die(note: Path, study: Study, database: Path, component: Component) -> int:
    """Map the component; who is the first at one is killed in the midst of it."""
    try:
        note.open("x").close()
    except FileExistsError:
        return models.map_component(study, database, component)
    Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()
    models.map_component(study, database, component)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_cluster_gives_the_same_models_though_a_worker_is_killed(study, dask_cluster, tmp_path, monkeypatch):
    address, workers, _ = dask_cluster
    database = shutil.copy(work_folder(study) / "database.db", tmp_path / "database.db")
    matches = read_table(study.reconstruction, "candidates")
    elsewhere = Study(
        study.root, study.params.model_copy(update={"cluster": study.params.cluster.model_copy(update={"scheduler": address})})
    )
    monkeypatch.setattr(models, "map_component", partial(map_or_die, tmp_path / "killed"))
    found = build_models(elsewhere, database, matches, tmp_path / "models")
    assert [worker.poll() for worker in workers].count(-signal.SIGKILL) == 1
    assert len(found) == 2
    here = work_folder(study) / "models"
    assert work_folder(elsewhere) == work_folder(study)
    made = contents(tmp_path / "models")
    assert {name: data for name, data in made.items() if not name.startswith("unfinished-")} == contents(here)

    monkeypatch.setattr(models, "on_cluster", lambda work, jobs, scheduler: iter(jobs))
    assert build_models(elsewhere, database, matches, tmp_path / "models") == found
