"""Vectors of the training photos and of the benchmarks, made once a network: everything else of the study starts from them."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bcdh_lib.comparison.pieces import Piece, Result
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import Params
from bcdh_lib.retrieval.benchmarks import read_benchmarks
from bcdh_lib.retrieval.codes import benchmark_views, one_per_photo_set
from bcdh_lib.retrieval.systems import FLOAT, WHITENED
from bcdh_lib.study import Study
from bcdh_lib.training.device import device, prepare
from bcdh_lib.training.encoding import cache_activations, encode
from bcdh_lib.training.float_baseline import train_float_baseline
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, TrainingVectors, encode_training_set, load_training_set, set_whitening

Made = TypeVar("Made")
Parts = dict[str, np.ndarray]
"""Vectors float32 [n, d] of a photo set's "database" and "queries"."""


@dataclass(frozen=True)
class Vectors(Piece):
    """Vectors of one network: the float baseline trained with the seed of `params`, or the pretrained one (whitened or not).

    models: how many groups of 3D models it is trained with, drawn with the seed; None: all. What few models teach the network
    is then all that its hash layers learn from too.
    """

    params: Params
    method: str = FLOAT
    models: int | None = None
    kind = "vectors"

    @property
    def name(self) -> str:
        seed = f"-{self.params.run.seed}" if self.method == FLOAT else ""
        return f"{self.method}{seed}" + (f"-{self.models}-models" if self.models else "")

    @property
    def decided_by(self) -> dict[str, Any]:
        made: dict[str, Any] = {"method": self.method, "network": self.params.network.model_dump(), "code": code_of_vectors()}
        if self.method != FLOAT:
            return made
        settings = {"float_baseline": self.params.training.float_baseline.model_dump(), "seed": self.params.run.seed}
        return made | settings | {"seed_of_views": self.study.params.run.seed, "models": self.models}

    @property
    def arrays(self) -> Path:
        """The vectors themselves, next to the piece's own file, which holds the history of training."""
        return self.path.with_suffix(".npz")

    def work(self) -> Result:
        prepare(self.params)
        training_set = kept_in_process(load_training_set, self.study)
        if self.models:
            training_set = fewer_models(training_set, self.models, self.params.run.seed)
        network, history = self._network(training_set)
        made = encode_training_set(network, training_set)
        arrays = {field: getattr(made, field) for field in ("views", "group", "train", "pairs")}
        for photo_set, parts in kept_in_process(benchmark_activations, self.study).items():
            arrays |= {f"{photo_set}/{part}": encode(network, activations).numpy() for part, activations in parts.items()}
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_bytes(self.arrays, content.getvalue())
        columns = ["round", "loss", "quantization", "validation_map"]
        return Result(pd.DataFrame(history, columns=columns), {"models": len(np.unique(made.group[made.train]))})

    def _network(self, training_set: TrainingSet) -> tuple[HashNetwork, list[dict[str, Any]]]:
        if self.method == FLOAT:
            return train_float_baseline(training_set, self.params, self.path.with_suffix(".unfinished"))
        network = HashNetwork(self.params.network, bits=None).to(device()).eval()
        if self.method == WHITENED:
            set_whitening(network, training_set)
        return network, []

    def load(self) -> tuple[TrainingVectors, dict[str, Parts]]:
        """The training vectors, and the benchmarks' by photo set."""
        return _load(self.arrays)


@functools.cache
def code_of_vectors() -> str:
    """Digest of the code that trains and encodes."""
    return code_digest(__name__)


@functools.lru_cache(maxsize=2)
def _load(path: Path) -> tuple[TrainingVectors, dict[str, Parts]]:
    with np.load(path, allow_pickle=False) as arrays:
        training = TrainingVectors(*(arrays[field] for field in ("views", "group", "train", "pairs")))
        benchmarks: dict[str, Parts] = {}
        for name in arrays.files:
            if "/" in name:
                photo_set, part = name.rsplit("/", 1)
                benchmarks.setdefault(photo_set, {})[part] = arrays[name]
    return training, benchmarks


def fewer_models(training_set: TrainingSet, models: int, seed: int) -> TrainingSet:
    """Only so many of the training groups, drawn with the seed; those of a smaller number are among those of a larger one.

    Photos held apart for validation stay.
    """
    groups = np.unique(training_set.group[training_set.train])
    drawn = np.random.default_rng([seed, 1]).permutation(groups)[:models]
    rows = np.flatnonzero(~training_set.train | np.isin(training_set.group, drawn))
    new_row = np.full(len(training_set.group), -1)
    new_row[rows] = np.arange(len(rows))
    pairs = new_row[training_set.pairs]
    return replace(
        training_set,
        activations=training_set.activations[torch.from_numpy(rows)],
        group=training_set.group[rows],
        train=training_set.train[rows],
        pairs=pairs[(pairs >= 0).all(1)],
    )


_kept: dict[tuple[Any, ...], Any] = {}


def kept_in_process(make: Callable[[Study], Made], study: Study) -> Made:
    """What `make` makes of the study, kept in this process for the next piece of work."""
    key = (make, study.root, study.sandbox, study.params.model_dump_json())
    if key not in _kept:
        _kept[key] = make(study)
    return _kept[key]


def benchmark_activations(study: Study) -> dict[str, dict[str, Tensor]]:
    """The frozen blocks' activations of every photo set's "database" and "queries"."""
    network = HashNetwork(study.params.network, bits=None).to(device()).eval()
    return {
        name: {
            part: cache_activations(network, views, study.params.run.threads, f"{name} {part}")
            for part, views in benchmark_views(study, benchmark).items()
        }
        for name, benchmark in one_per_photo_set(read_benchmarks(study)).items()
    }


def digest_of_inputs(study: Study) -> str:
    """Digest of the photos, groups and pairs that are trained on, and of the benchmarks' queries, answers and photos' sizes."""
    tables = [study.photos / "photos.parquet", study.pairs / "members.parquet", study.pairs / "pairs.parquet"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in tables))
    for benchmark in read_benchmarks(study):
        queries = [(q.name, q.photo, q.box, sorted(q.positives), sorted(q.junk)) for q in benchmark.queries]
        photos = {**benchmark.photos, **benchmark.query_photos}
        sizes = [(name, path.stat().st_size) for name, path in photos.items()]
        digest.update(json.dumps([benchmark.name, queries, sizes]).encode())
    return digest.hexdigest()[:16]
