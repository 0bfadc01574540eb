"""What is trained and scored from cached vectors: trials of tuning, and runs, each a method at a code length with a seed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from bcdh_lib.comparison.bit_statistics import bit_statistics
from bcdh_lib.comparison.pieces import Piece, Result
from bcdh_lib.comparison.plan import Configuration, Supply
from bcdh_lib.comparison.supply import supplied
from bcdh_lib.comparison.vectors import Vectors
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Params, run_name
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmarks
from bcdh_lib.retrieval.codes import code_outputs
from bcdh_lib.retrieval.score import score_codes
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study
from bcdh_lib.training.device import prepare
from bcdh_lib.training.hash_layer import start_layer, train_hash_layer
from bcdh_lib.training.losses import LOSSES
from bcdh_lib.training.training_set import TrainingVectors

Floats = NDArray[np.float32]


@functools.cache
def code_of(method: str) -> str:
    """Digest of the code that makes and scores a method's codes; the files of other losses and coders do not count."""
    registered = {**LOSSES, **SHALLOW}
    others = {each.__module__ for name, each in registered.items() if name != method}
    registries = {"bcdh_lib.training.losses", "bcdh_lib.retrieval.shallow"}
    own = [registered[method].__module__] if method in registered else []
    return code_digest(__name__, *own, without=(others | registries) - set(own))


def settings_of(params: Params, method: str) -> dict[str, Any]:
    """What decides the hash layer of a method, apart from its vectors and the seed."""
    return {"loss": params.losses[method], "hash_layer": params.training.hash_layer.model_dump()} if method in LOSSES else {}


_read: dict[str, list[Benchmark]] = {}


def _benchmarks(study: Study) -> list[Benchmark]:
    """The benchmarks, read once a process."""
    key = repr((study.benchmarks, study.rendered_benchmarks, study.params.retrieval))
    if key not in _read:
        _read[key] = read_benchmarks(study)
    return _read[key]


@dataclass(frozen=True)
class Trial(Piece):
    """One configuration of a method, by its number, at one code length."""

    params: Params
    method: str
    bits: int
    number: int
    configuration: Configuration
    vectors: Vectors
    kind = "trials"

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.number:02d}"

    @property
    def decided_by(self) -> dict[str, Any]:
        made = {"method": self.method, "bits": self.bits, "seed": self.params.run.seed, "code": code_of(self.method)}
        return made | settings_of(self.params, self.method) | {"vectors": self.vectors.path.stem}

    def work(self) -> Result:
        """One row: validation_map, or the fault of a trial that diverged."""
        prepare(self.params)
        value, fault = float("nan"), ""
        try:
            training, _ = self.vectors.load()
            _, history = train_hash_layer(training, self.params, self.method, self.bits, self.params.run.seed)
            value = max(row["validation_map"] for row in history)
        except StudyError as error:
            fault = str(error)
        row = {"method": self.method, "number": self.number, "bits": self.bits, "seed": self.params.run.seed}
        measured = {"configuration": json.dumps(self.configuration), "validation_map": value, "fault": fault}
        return Result(pd.DataFrame([row | measured]), {})


@dataclass(frozen=True)
class Run(Piece):
    """A method at a code length (None: the vectors themselves), made from `vectors` and scored on every benchmark.

    pretrained: vectors that another supply of pairs may be clustered from.
    """

    params: Params
    method: str
    bits: int | None
    vectors: Vectors
    supply: Supply = field(default_factory=Supply)
    pretrained: Vectors | None = None
    kind = "runs"

    @property
    def seed(self) -> int:
        return self.params.run.seed

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.seed}"

    @property
    def decided_by(self) -> dict[str, Any]:
        made = {"method": self.method, "bits": self.bits, "seed": self.seed, "code": code_of(self.method)}
        made |= {"vectors": self.vectors.path.stem, "radius": self.params.retrieval.radius}
        return made | settings_of(self.params, self.method) | {"supply": self.supply.model_dump()}

    def work(self) -> Result:
        """Rows of the table `queries`. Facts of a trained run: history, statistics of its bits, and the fault if it diverged."""
        prepare(self.params)
        training, photo_sets = self.vectors.load()
        facts: dict[str, Any] = {}
        encode = self._encoder(training, facts)
        if self.bits:
            facts["statistics"] = bit_statistics(encode(training.vectors[training.train]), training.group[training.train])
        study = replace(self.study, params=self.params)  # the rows bear the run's seed
        rows = []
        for benchmark in _benchmarks(self.study):
            parts = photo_sets[benchmark.photo_set]
            codes = code_outputs(encode(parts["queries"]), encode(parts["database"]), self.bits)
            rows.append(score_codes(study, benchmark, System(self.method, self.bits), codes))
        return Result(pd.concat(rows, ignore_index=True), facts)

    def _encoder(self, training: TrainingVectors, facts: dict[str, Any]) -> Callable[[Floats], Floats]:
        """Vectors [n, d] -> what is scored: themselves, or real outputs [n, L]."""
        if self.bits is None:
            return lambda vectors: vectors
        if self.method in SHALLOW:
            return fit_shallow(self.method, training.vectors[training.train], self.bits, self.seed)
        if self.pretrained is not None:
            training = supplied(self.study, training, self.pretrained.load()[0], self.supply, self.seed)
        try:
            layer, facts["history"] = train_hash_layer(training, self.params, self.method, self.bits, self.seed)
        except StudyError as error:  # it diverged: no round is better than the start
            layer, facts["fault"] = start_layer(training, self.bits, self.seed), str(error)

        def encode(vectors: Floats) -> Floats:
            with torch.no_grad():
                return layer(torch.from_numpy(vectors)).numpy()

        return encode


@dataclass(frozen=True)
class Labelled:
    """A run and what the tables call it: its experiment (comparison, ablations, models) and its variant within that."""

    run: Run
    experiment: str
    variant: str = ""
