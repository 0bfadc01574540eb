"""What is trained and scored from cached vectors: trials of tuning, and runs, each a method at a code length with a seed."""

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
from bcdh_lib.comparison.plan import Settings, Supply
from bcdh_lib.comparison.supply import supplied
from bcdh_lib.comparison.vectors import Outputs, Vectors
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Params, run_name
from bcdh_lib.retrieval.benchmarks import read_benchmarks
from bcdh_lib.retrieval.codes import code_outputs
from bcdh_lib.retrieval.score import score_codes
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow
from bcdh_lib.retrieval.systems import PRETRAINED, System
from bcdh_lib.training.device import prepare
from bcdh_lib.training.end_to_end import train_end_to_end
from bcdh_lib.training.hash_layer import History, assemble, start_layer, train_hash_layer
from bcdh_lib.training.losses import LOSSES
from bcdh_lib.training.network import HashLayer
from bcdh_lib.training.training_set import TrainingSet

Floats = NDArray[np.float32]


@functools.cache
def code_of(method: str) -> str:
    """Digest of the code that makes and scores a method's codes; the files of other losses and coders do not count."""
    registered = {**LOSSES, **SHALLOW}
    others = {each.__module__ for name, each in registered.items() if name != method}
    registries = {"bcdh_lib.training.losses", "bcdh_lib.retrieval.shallow"}
    own = [registered[method].__module__] if method in registered else []
    return code_digest(__name__, *own, without=(others | registries) - set(own))


@dataclass(frozen=True)
class Coded(Piece):
    """A method at a code length (None: the vectors themselves), made from `vectors`."""

    params: Params
    method: str
    bits: int | None
    vectors: Vectors

    @property
    def seed(self) -> int:
        return self.params.run.seed

    @property
    def decided_by(self) -> dict[str, Any]:
        made = {"method": self.method, "bits": self.bits, "seed": self.seed, "code": code_of(self.method)}
        made["vectors"] = self.vectors.path.stem
        if self.method not in LOSSES:
            return made
        return made | {"loss": self.params.losses[self.method], "hash_layer": self.params.training.hash_layer.model_dump()}


@dataclass(frozen=True)
class Trial(Coded):
    """One configuration of a method, by its number."""

    bits: int
    number: int
    configuration: Settings
    kind = "trials"

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.number:02d}"

    def work(self) -> Result:
        """One row: validation_map, or the fault of a trial that diverged."""
        prepare(self.params)
        row = {"method": self.method, "number": self.number, "bits": self.bits, "seed": self.seed}
        row |= {"configuration": json.dumps(self.configuration), "validation_map": float("nan"), "fault": ""}
        try:
            _, history = train_hash_layer(self.vectors.load()[0], self.params, self.method, self.bits, self.seed)
            row["validation_map"] = max(each["validation_map"] for each in history)
        except StudyError as error:
            row["fault"] = str(error)
        return Result(pd.DataFrame([row]), {})


@dataclass(frozen=True)
class Run(Coded):
    """Scored on every benchmark; the tables know it by its experiment and its variant within that.

    supply: which pairs the layer learns from. end_to_end: blocks and hash layer are then trained further, together.
    """

    experiment: str = "comparison"
    variant: str = ""
    supply: Supply = field(default_factory=Supply)
    end_to_end: bool = False
    kind = "runs"

    @property
    def name(self) -> str:
        return f"{run_name(self.method, self.bits)}-{self.seed}"

    @property
    def decided_by(self) -> dict[str, Any]:
        made = super().decided_by | {"supply": self.supply.model_dump(), "radius": self.params.retrieval.radius}
        return made | ({"end_to_end": self.params.training.end_to_end.model_dump()} if self.end_to_end else {})

    def work(self) -> Result:
        """Rows of the table `queries`. Facts of codes: statistics of the bits; of a trained run: whether it kept a round of
        training end to end, and the fault if it diverged."""
        prepare(self.params)
        training, outputs = self.vectors.load()
        facts: dict[str, Any] = {}
        if self.end_to_end:
            outputs = self._end_to_end(training, facts)
        elif self.bits:
            encode = self._encoder(training, facts)
            facts["statistics"] = bit_statistics(encode(training.vectors[training.train]), training.group[training.train])
            outputs = {name: encode(vectors) for name, vectors in outputs.items()}
        study = replace(self.study, params=self.params)  # the rows have the run's seed
        rows = []
        for benchmark in read_benchmarks(self.study):
            queries, database = (outputs[f"{benchmark.photo_set}/{part}"] for part in ("queries", "database"))
            codes = code_outputs(queries, database, self.bits)
            rows.append(score_codes(study, benchmark, System(self.method, self.bits), codes))
        return Result(pd.concat(rows, ignore_index=True), facts)

    def _encoder(self, training: TrainingSet, facts: dict[str, Any]) -> Callable[[Floats], Floats]:
        """Vectors [n, d] -> real outputs [n, L]."""
        if self.method in SHALLOW:
            return fit_shallow(self.method, training.vectors[training.train], self.bits or 0, self.seed)
        layer = self._layer(training, facts)[0].requires_grad_(False)
        return lambda vectors: layer(torch.from_numpy(vectors)).numpy()

    def _layer(self, training: TrainingSet, facts: dict[str, Any]) -> tuple[HashLayer, History]:
        """The trained layer and its history; if it diverged, the start, with a history that no later round is better than."""
        bits = self.bits or 0
        if self.supply != Supply():
            pretrained = replace(self.vectors, method=PRETRAINED).load()[0]
            training = supplied(self.study, training, pretrained, self.supply, self.seed)
        try:
            return train_hash_layer(training, self.params, self.method, bits, self.seed)
        except StudyError as error:
            facts["fault"] = str(error)
            return start_layer(training, bits, self.seed), [{"validation_map": float("nan")}]

    def _end_to_end(self, training: TrainingSet, facts: dict[str, Any]) -> Outputs:
        """The benchmarks' outputs of the whole network, trained on from the layer; if that diverged, those of the layer."""
        layer, history = self._layer(training, facts)
        start = network = assemble(self.vectors.network(), layer)
        photos = self.vectors.training_set()
        try:
            network, history = train_end_to_end(start, photos, self.params, self.method, self.seed, history)
        except StudyError as error:
            facts["fault"] = str(error)
        facts |= {"kept": network is not start, "validation_map": max(row["validation_map"] for row in history)}
        return self.vectors.encode_benchmarks(network)
