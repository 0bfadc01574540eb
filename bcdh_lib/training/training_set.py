"""What is trained on: photos with their groups and similar pairs, as activations of the frozen blocks or as vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
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
from bcdh_lib.training.encoding import cache_activations, encode, pool_all
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import Views
from bcdh_lib.training.whitening import learn_whitening


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Photos by row: views [n, 1 + augmented, ...], the first of them plain; group [n]; train, bool [n]; similar pairs [p, 2].

    Views are a tensor of activations of the frozen blocks, or the float baseline's unit vectors, an array float32 [..., d].
    """

    views: Any
    group: np.ndarray
    train: np.ndarray
    pairs: np.ndarray

    @property
    def vectors(self) -> np.ndarray:
        """The unit vectors of the plain views, [n, d]."""
        return self.views[:, 0]

    @property
    def train_pairs(self) -> np.ndarray:
        """The similar pairs whose photos are for training, [p, 2]."""
        return self.pairs[self.train[self.pairs[:, 0]]]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """From arrays by the names of the fields, such as those of a .npz file. Raises KeyError if one is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def load_training_set(study: Study, workers: int | None = None) -> TrainingSet:
    """The photos that pairs are drawn from, as activations of the frozen blocks, with their groups and similar pairs.

    Photos held apart for the benchmark `collection` are not among them: neither training nor validation may see them.
    workers: processes that decode photos; default: run.threads.
    """
    params = study.params
    prepare(params)
    photos, *labels = read_labels(study)
    paths = [study.image(photo) for photo in photos]
    views = Views(paths, params.network.side, augmented=params.training.float_baseline.views, seed=params.run.seed)
    network = HashNetwork(params.network, bits=None).to(device()).eval()
    activations = cache_activations(network, views, workers or params.run.threads, "activations of the frozen blocks")
    return TrainingSet(activations, *labels)


def read_vectors(study: Study) -> TrainingSet:
    """The training set as vectors of the trained float baseline; no photo is opened. Raises StudyError."""
    _, *labels = read_labels(study)
    path = study.checkpoints / "vectors.npy"
    try:
        return TrainingSet(read_array(path), *labels)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({error}); make it with: dvc repro training") from None


def read_labels(study: Study) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The photo_id of each row of a training set, and its fields but the views."""
    members, pairs = read_table(study.pairs, "members"), read_table(study.pairs, "pairs")
    members = members[members["split"] != "test"]
    pairs = pairs[pairs["query_id"].isin(members["photo_id"])]
    row = pd.Series(range(len(members)), index=members["photo_id"])
    rows = np.stack([row.loc[pairs[name]].to_numpy(np.int64) for name in ("query_id", "positive_id")], 1)
    photos, group = (members[name].to_numpy() for name in ("photo_id", "group_id"))
    return photos, group, (members["split"] == "train").to_numpy(copy=True), rows


def encode_training_set(baseline: HashNetwork, training_set: TrainingSet) -> TrainingSet:
    """The training set as vectors of the float baseline, of every view."""
    views = [encode(baseline, view[:, None]) for view in training_set.views.unbind(1)]
    return replace(training_set, views=torch.stack(views, 1).numpy())


def set_whitening(baseline: HashNetwork, training_set: TrainingSet) -> Tensor:
    """Learn the whitening (if the network has one) from the training photos and their similar pairs; outputs float [n, d]."""
    pooled = pool_all(baseline.eval(), training_set.views)
    if baseline.whitening is not None and baseline.settings.whitening is not None:
        train = training_set.train
        pairs = pairs_among(training_set.pairs, train)
        matrix, offset = learn_whitening(pooled.cpu().numpy()[train], pairs, baseline.settings.whitening)
        baseline.whitening.load_state_dict({"weight": torch.from_numpy(matrix), "bias": torch.from_numpy(offset)})
    return baseline.finish(pooled).cpu()


def pairs_among(pairs: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """The pairs [p, 2] of photos that stay, bool [n], as rows of these alone."""
    return (np.cumsum(stays) - 1)[pairs[stays[pairs].all(1)]]


def validation_pairs(training_set: TrainingSet, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similar pairs and as many random dissimilar pairs of the held-apart photos, as rows, [p, 2] each."""
    held, group = np.flatnonzero(~training_set.train), training_set.group
    similar = training_set.pairs[np.isin(training_set.pairs[:, 0], held)]
    drawn = np.random.default_rng(seed).choice(held, (4 * len(similar), 2))
    return similar, drawn[group[drawn[:, 0]] != group[drawn[:, 1]]][: len(similar)]
