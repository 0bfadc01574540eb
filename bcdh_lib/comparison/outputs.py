"""What one network, or none, makes of the photos that the comparison needs: those for training, and the benchmarks'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from bcdh_lib.retrieval.benchmarks import Benchmark, require_photos
from bcdh_lib.retrieval.score import collections_of, parts_of
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, device, encode_kept, keep

Made = TypeVar("Made")
Other = TypeVar("Other")


@dataclass(frozen=True)
class OfPhotos(Generic[Made]):
    """Something made of the training photos, and of the parts "database" and "queries" of each benchmark, in order."""

    training: Made
    parts: list[dict[str, Made]]

    def map(self, function: Callable[[Made], Other]) -> OfPhotos[Other]:
        """What the function makes of each."""
        parts = [{part: function(made) for part, made in each.items()} for each in self.parts]
        return OfPhotos(function(self.training), parts)


Outputs = OfPhotos[np.ndarray]
"""Outputs or vectors, float32 [n, L or d], a row a photo."""


@dataclass(frozen=True)
class Kept:
    """A benchmark whose database and queries are kept as activations of the frozen blocks."""

    benchmark: Benchmark
    parts: dict[str, Tensor]


def keep_benchmarks(study: Study, benchmarks: Sequence[Benchmark]) -> list[Kept]:
    """The benchmarks with all their photos gone through the frozen blocks, once for all cells and a collection's benchmarks."""
    require_photos(benchmarks)
    network, workers = HashNetwork(study.params.network, bits=None).to(device()).eval(), study.params.run.threads
    parts = {
        name: {part: keep(network, views, workers, f"{name} {part}") for part, views in parts_of(study, benchmark).items()}
        for name, benchmark in collections_of(benchmarks).items()
    }
    return [Kept(each, parts[each.photo_set]) for each in benchmarks]


def outputs_of(network: HashNetwork, training_set: TrainingSet, kept: Sequence[Kept]) -> Outputs:
    """The network's outputs of the training photos (those held apart for validation are left out) and of the benchmarks."""
    training = encode_kept(network, training_set.activations).numpy()[training_set.train]
    collections = {each.benchmark.photo_set: each.parts for each in kept}
    encoded = {
        name: {part: encode_kept(network, views).numpy() for part, views in parts.items()} for name, parts in collections.items()
    }
    return OfPhotos(training, [encoded[each.benchmark.photo_set] for each in kept])
