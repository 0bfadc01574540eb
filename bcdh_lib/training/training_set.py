"""What is trained on: photos with their groups and similar pairs, as activations of the frozen blocks or as vectors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array
from bcdh_lib.core.tables import read_table
from bcdh_lib.study import Study
from bcdh_lib.training.device import device, prepare
from bcdh_lib.training.encoding import cache_activations, encode_views, pool_all
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import Views
from bcdh_lib.training.whitening import learn_whitening


@dataclass(frozen=True, eq=False)
class Labelled:
    """A training set's photos by row: views [n, 1 + augmented, ...], the first of them plain; group [n]; train, bool [n]; similar
    pairs as rows [p, 2]."""

    views: Any
    group: np.ndarray
    train: np.ndarray
    pairs: np.ndarray

    @property
    def view_count(self) -> int:
        return self.views.shape[1]

    @property
    def train_pairs(self) -> np.ndarray:
        """The similar pairs whose photos are for training, [p, 2]."""
        return self.pairs[self.train[self.pairs[:, 0]]]


@dataclass(frozen=True, eq=False)
class TrainingSet(Labelled):
    """Views as activations of the frozen blocks."""

    views: Tensor
    fingerprint: str = ""  # sha256 of the table of pairs


@dataclass(frozen=True, eq=False)
class TrainingVectors(Labelled):
    """Views as the float baseline's unit vectors, float32 [n, 1 + augmented, d]."""

    views: np.ndarray

    @property
    def vectors(self) -> np.ndarray:
        """Those of the plain views, [n, d]."""
        return self.views[:, 0]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """From arrays by the names of the fields, such as those of a .npz file. Raises KeyError if one is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def load_training_set(study: Study, workers: int | None = None) -> TrainingSet:
    """The photos that pairs are drawn from, as activations of the frozen blocks, with their groups and similar pairs.

    Photos held apart for the benchmark `collection` are not among them: neither training nor validation may see them.
    workers: processes that decode photos; default: run.threads.
    """
    params = study.params
    prepare(params)
    members, pairs = _read_members(study)
    paths = [study.image(photo) for photo in members["photo_id"]]
    views = Views(paths, params.network.side, augmented=params.training.float_baseline.views, seed=params.run.seed)
    network = HashNetwork(params.network, bits=None).to(device()).eval()
    return TrainingSet(
        views=cache_activations(network, views, workers or params.run.threads, "activations of the frozen blocks"),
        group=members["group_id"].to_numpy(),
        train=(members["split"] == "train").to_numpy(copy=True),
        pairs=pairs,
        fingerprint=hashlib.sha256((study.pairs / "pairs.parquet").read_bytes()).hexdigest(),
    )


def _read_members(study: Study) -> tuple[pd.DataFrame, np.ndarray]:
    """The table `members` without the photos of the benchmark `collection`, and the similar pairs as its rows, [p, 2]."""
    members, pairs = read_table(study.pairs, "members"), read_table(study.pairs, "pairs")
    members = members[members["split"] != "test"].reset_index(drop=True)
    return members, _rows_of(members, pairs[pairs["query_id"].isin(members["photo_id"])])


def vectors_path(study: Study) -> Path:
    """The float baseline's vectors of the training set's views, float32 [n, 1 + augmented, d], from the training stage."""
    return study.checkpoints / "vectors.npy"


def read_vectors(study: Study) -> TrainingVectors:
    """The training set as vectors of the trained float baseline; no photo is opened. Raises StudyError."""
    members, pairs = _read_members(study)
    try:
        vectors = read_array(vectors_path(study))
    except (OSError, ValueError) as error:
        raise StudyError(f"{vectors_path(study)}: cannot be read ({error}); make it with: dvc repro training") from None
    return TrainingVectors(vectors, members["group_id"].to_numpy(), (members["split"] == "train").to_numpy(copy=True), pairs)


def encode_training_set(baseline: HashNetwork, training_set: TrainingSet) -> TrainingVectors:
    """The training set as vectors of the float baseline, of every view."""
    views = encode_views(baseline, training_set.views).numpy()
    return TrainingVectors(views, training_set.group, training_set.train, training_set.pairs)


def set_whitening(baseline: HashNetwork, training_set: TrainingSet) -> Tensor:
    """Learn the whitening (if the network has one) from the training photos and their similar pairs; outputs float [n, d]."""
    pooled = pool_all(baseline.eval(), training_set.views)
    if baseline.whitening is not None and baseline.settings.whitening is not None:
        row = np.cumsum(training_set.train) - 1  # of a photo among the training photos
        vectors = pooled.cpu().numpy()[training_set.train]
        matrix, offset = learn_whitening(vectors, row[training_set.train_pairs], baseline.settings.whitening)
        baseline.whitening.load_state_dict({"weight": torch.from_numpy(matrix), "bias": torch.from_numpy(offset)})
    return baseline.finish(pooled).cpu()


def _rows_of(members: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """The similar pairs as rows of a table of photos, int64 [p, 2]."""
    row = pd.Series(range(len(members)), index=members["photo_id"])
    return np.stack([row.loc[pairs[name]].to_numpy(np.int64) for name in ("query_id", "positive_id")], 1)


def pairs_among(pairs: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """The pairs [p, 2] of photos that stay, bool [n], as rows of these alone."""
    return (np.cumsum(stays) - 1)[pairs[stays[pairs].all(1)]]


def pairs_by_row(study: Study, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similar pairs and as many random dissimilar pairs of a split, as rows of the table `members`, [p, 2] each."""
    members, pairs = read_table(study.pairs, "members"), read_table(study.pairs, "pairs")
    similar = _rows_of(members, pairs)
    chosen, group = np.flatnonzero(members["split"] == split), members["group_id"].to_numpy()
    similar = similar[np.isin(similar[:, 0], chosen)]
    drawn = np.random.default_rng(seed).choice(chosen, (4 * len(similar), 2))
    return similar, drawn[group[drawn[:, 0]] != group[drawn[:, 1]]][: len(similar)]
