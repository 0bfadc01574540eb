"""What every run starts from: activations of all photos, made once, and from them the vectors of each network.

Activations are one file for each collection and one for the benchmarks. Processes map it into memory, so they share its pages.
"""

import functools
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bcdh_lib.comparison.pieces import Piece, Result
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import Params
from bcdh_lib.retrieval.benchmarks import read_benchmarks
from bcdh_lib.retrieval.codes import benchmark_views, one_per_photo_set
from bcdh_lib.retrieval.systems import FLOAT, WHITENED
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import device, prepare
from bcdh_lib.training.encoding import cache_activations, encode
from bcdh_lib.training.end_to_end import train_end_to_end
from bcdh_lib.training.float_baseline import train_float_baseline
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import (
    TrainingSet,
    encode_training_set,
    load_training_set,
    pairs_among,
    set_whitening,
)

Outputs = dict[str, NDArray[np.float32]]
"""Vectors [n, d] or outputs [n, L] of each PHOTO_SET/database and PHOTO_SET/queries."""
LABELS = ("group", "train", "pairs")
"""The fields of a training set next to its views."""


@functools.cache
def code_of_vectors() -> str:
    """Digest of the code that trains and encodes."""
    return code_digest(__name__)


@dataclass(frozen=True)
class Activations(Piece):
    """The frozen blocks' activations of a collection's photos, with its labels; or of the benchmarks' photos (None)."""

    collection: Study | None
    workers: int = 1  # processes that decode photos
    kind = "activations"

    @property
    def name(self) -> str:
        return "collection" if self.collection else "benchmarks"

    @property
    def decided_by(self) -> dict[str, Any]:
        made = {"network": self.study.params.network.model_dump(), "code": code_of_vectors()}
        views = {"views": self.study.params.training.float_baseline.views, "seed": self.study.params.run.seed}
        return made | views if self.collection else made

    @property
    def tensors(self) -> Path:
        """The activations themselves, next to the piece's own file."""
        return self.path.with_suffix(".pt")

    def work(self) -> Result:
        prepare(self.study.params)
        if self.collection:
            loaded = load_training_set(self.collection, self.workers)
            made = {"views": loaded.views} | {name: torch.tensor(getattr(loaded, name)) for name in LABELS}
        else:
            network = HashNetwork(self.study.params.network, bits=None).to(device()).eval()
            made = {
                f"{name}/{part}": cache_activations(network, views, self.workers, f"{name} {part}")
                for name, benchmark in one_per_photo_set(read_benchmarks(self.study)).items()
                for part, views in benchmark_views(self.study, benchmark).items()
            }
        self.tensors.parent.mkdir(parents=True, exist_ok=True)
        partial = self.tensors.with_suffix(".partial")
        torch.save(made, partial)
        partial.replace(self.tensors)
        return Result(pd.DataFrame(), {})

    def load(self) -> dict[str, Tensor]:
        """The tensors by name. Only what is used of the file is read."""
        return torch.load(self.tensors, mmap=True, weights_only=True)


@dataclass(frozen=True)
class Vectors(Piece):
    """Vectors of one network: the float baseline trained with the seed of `params`, or the pretrained one (whitened or not).

    collections: what it is trained on, together. models: how many groups of 3D models it is trained with, drawn with the seed;
    None: all. What few models teach the network is then all that its hash layers learn from too. longer: the float baseline is
    trained further by its own loss, as training.end_to_end trains hash networks.
    """

    params: Params
    collections: tuple[Activations, ...]
    benchmarks: Activations
    method: str = FLOAT
    models: int | None = None
    longer: bool = False
    kind = "vectors"

    @property
    def name(self) -> str:
        seed = f"-{self.params.run.seed}" if self.method == FLOAT else ""
        return f"{self.method}{seed}" + (f"-{self.models}-models" if self.models else "")

    @property
    def decided_by(self) -> dict[str, Any]:
        made: dict[str, Any] = {"method": self.method, "network": self.params.network.model_dump(), "code": code_of_vectors()}
        made |= {"collections": [each.path.stem for each in self.collections]}
        if self.method != FLOAT:
            return made
        made |= {"float_baseline": self.params.training.float_baseline.model_dump(), "seed": self.params.run.seed}
        longer = {"end_to_end": self.params.training.end_to_end.model_dump()} if self.longer else {}
        return made | {"models": self.models} | longer

    @property
    def arrays(self) -> Path:
        """The vectors themselves, next to the piece's own file, which holds the history of training."""
        return self.path.with_suffix(".npz")

    @property
    def training(self) -> Path:
        """The folder of the network's training. Its name does not depend on the benchmarks, so others need no new training."""
        digest = hashlib.sha256(json.dumps(self.decided_by, sort_keys=True).encode()).hexdigest()[:16]
        return self.study.work / "study/training" / f"{self.name}-{digest}"

    def work(self) -> Result:
        prepare(self.params)
        training_set, history = self.training_set(), []
        network = HashNetwork(self.params.network, bits=None).to(device()).eval()
        if self.longer:
            before = replace(self, longer=False)
            history = before.read().rows.to_dict("records")
            network, history = train_end_to_end(before.network(), training_set, self.params, FLOAT, self.params.run.seed, history)
        elif self.method == FLOAT:
            network, history = train_float_baseline(training_set, self.params, self.training)
        elif self.method == WHITENED:
            set_whitening(network, training_set)
        made = encode_training_set(network, training_set)
        arrays: dict[str, Any] = vars(made) | self.encode_benchmarks(network)
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_bytes(self.arrays, content.getvalue())
        columns = ["round", "loss", "quantization", "validation_map"]
        best = max((row["validation_map"] for row in history), default=float("nan"))
        facts = {"models": len(np.unique(made.group[made.train])), "validation_map": best}
        return Result(pd.DataFrame(history, columns=columns), facts)

    def training_set(self) -> TrainingSet:
        """The photos that it is trained on."""
        loaded = [each.load() for each in self.collections]
        whole = joined([TrainingSet(each["views"], *(each[name].numpy() for name in LABELS)) for each in loaded])
        return fewer_models(whole, self.models, self.params.run.seed) if self.models else whole

    def encode_benchmarks(self, network: HashNetwork) -> Outputs:
        return {name: encode(network, activations).numpy() for name, activations in self.benchmarks.load().items()}

    def network(self) -> HashNetwork:
        """The trained float baseline. Raises StudyError if its training's folder was deleted."""
        return load_checkpoint(self.training / "best.safetensors")[0]

    def load(self) -> tuple[TrainingSet, Outputs]:
        """The vectors of the training photos and of the benchmarks."""
        with np.load(self.arrays, allow_pickle=False) as arrays:
            return TrainingSet.of_arrays(arrays), {name: arrays[name] for name in arrays.files if "/" in name}


def joined(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Several training sets as one. A group of one is never a group of another."""
    if len(sets) == 1:
        return sets[0]
    groups, pairs, group, row = [], [], 0, 0
    for each in sets:
        groups.append(each.group + group)
        pairs.append(each.pairs + row)
        group, row = groups[-1].max() + 1, row + len(each.group)
    views, train = torch.cat([each.views for each in sets]), np.concatenate([each.train for each in sets])
    return TrainingSet(views, np.concatenate(groups), train, np.concatenate(pairs))


def fewer_models(training_set: TrainingSet, models: int, seed: int) -> TrainingSet:
    """Held-apart photos and `models` of the training groups, drawn with the seed; a smaller number draws among a larger one's."""
    groups = np.unique(training_set.group[training_set.train])
    if models > len(groups):
        raise StudyError(f"study.yaml: models.counts: {models} is more than the {len(groups)} groups of models that are there")
    drawn = np.random.default_rng([seed, 1]).permutation(groups)[:models]
    stays = ~training_set.train | np.isin(training_set.group, drawn)
    views, pairs = training_set.views[torch.from_numpy(stays)], pairs_among(training_set.pairs, stays)
    return TrainingSet(views, training_set.group[stays], training_set.train[stays], pairs)


def digest_of_tables(collection: Study) -> str:
    """Digest of the photos, groups and pairs that are trained on. Raises StudyError if they are not made."""
    tables = [collection.photos / "photos.parquet", collection.pairs / "members.parquet", collection.pairs / "pairs.parquet"]
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in tables)).hexdigest()[:16]
    except OSError as error:
        raise StudyError(f"{error.filename}: cannot be read ({one_line(error)}); make it there with: dvc repro pairs") from None


def digest_of_benchmarks(study: Study) -> str:
    """Digest of the benchmarks' queries, answers and photos' sizes."""
    digest = hashlib.sha256()
    for benchmark in read_benchmarks(study):
        queries = [(q.name, q.photo, q.box, sorted(q.positives), sorted(q.junk)) for q in benchmark.queries]
        photos = {**benchmark.photos, **benchmark.query_photos}
        sizes = [(name, path.stat().st_size) for name, path in photos.items()]
        digest.update(json.dumps([benchmark.name, queries, sizes]).encode())
    return digest.hexdigest()[:16]
