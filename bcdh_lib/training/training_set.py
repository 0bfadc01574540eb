"""What is trained on: photos as the frozen blocks' activations, their groups, their similar pairs.

The activations of every photo and of its augmented views are computed once and kept in memory for all runs. With
network.frozen_blocks 0 what is kept is the pixels, and everything trains.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bcdh_lib.core.codes import distances, pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import Network, Params
from bcdh_lib.study import Study
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.network import HashNetwork, load_checkpoint, load_start
from bcdh_lib.training.views import Views
from bcdh_lib.training.whitening import learn_whitening

BATCH = 32
"""Photos encoded at a time where nothing is learned."""
VALIDATED = 256
"""Queries validated at a time: a pile has many photos to compare each with."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Photos by row: activations [n, 1 + views, ...] (view 0 is plain), group [n], train [n]; similar pairs as rows [p, 2].

    vectors [n, d] are the pretrained network's, from which every run's hash layer starts (network.start: itq).
    """

    activations: Tensor
    group: np.ndarray
    train: np.ndarray
    pairs: np.ndarray
    vectors: np.ndarray
    fingerprint: str = ""  # sha256 of the tables of pairs

    @property
    def train_pairs(self) -> np.ndarray:
        """The similar pairs whose photos are for training, [p, 2]."""
        return self.pairs[self.train[self.pairs[:, 0]]]


def device() -> torch.device:
    """This process's CUDA device where there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def prepare(params: Params) -> None:
    """Fix threads and algorithms, so that the same machine gives the same weights."""
    torch.set_num_threads(params.run.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


def load_training_set(study: Study) -> TrainingSet:
    """The photos that pairs are drawn from, as activations of the frozen blocks, with their groups and similar pairs.

    Photos held apart for the benchmark `pile` are not among them: neither training nor validation may see them.
    """
    params = study.params
    prepare(params)
    members, pairs = read_table(study.pairs, "members"), read_table(study.pairs, "pairs")
    members = members[members["split"] != "test"].reset_index(drop=True)
    pairs = pairs[pairs["query_id"].isin(members["photo_id"])]
    paths = [study.image(photo) for photo in members["photo_id"]]
    views = Views(paths, params.network.side, augmented=params.training.views, seed=params.run.seed)
    network = HashNetwork(params.network, bits=None).to(device()).eval()
    activations = keep(network, views, params.run.threads, "activations of the frozen blocks")
    return TrainingSet(
        activations=activations,
        group=members["group_id"].to_numpy(),
        train=(members["split"] == "train").to_numpy(copy=True),
        pairs=_rows_of(members, pairs),
        vectors=encode_kept(network, activations).numpy(),
        fingerprint=hashlib.sha256((study.pairs / "pairs.parquet").read_bytes()).hexdigest(),
    )


def _rows_of(members: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """The similar pairs as rows of the table `members`, [p, 2]."""
    row = pd.Series(range(len(members)), index=members["photo_id"])
    return np.stack([row.loc[pairs["query_id"]], row.loc[pairs["positive_id"]]], 1)


def keep(network: HashNetwork, views: Views, workers: int, title: str) -> Tensor:
    """What is kept of views in memory, [n, 1 + augmented, ...]: activations of the frozen blocks; pixels where none is frozen."""
    batches = views.batches(max(1, BATCH // (1 + views.augmented)), workers, title)
    with torch.no_grad():
        made = (batch if network.trains_whole else network.activations(batch).cpu() for batch in batches)
        first = next(made)
        # Filled in place: gathered first, all would be held twice, and each batch of pixels keep a file of shared memory open.
        order = torch.channels_last if first.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        shape = (len(views) * (1 + views.augmented), *first.shape[1:])
        kept, done = torch.empty(shape, dtype=first.dtype, memory_format=order), 0
        for each in itertools.chain([first], made):
            kept[done : done + len(each)] = each
            done += len(each)
    return kept.unflatten(0, (len(views), 1 + views.augmented))


def outputs_of(network: HashNetwork, kept: Tensor) -> Tensor:
    """Outputs before normalisation, float [n, L], of single views that `keep` gave, [n, ...]."""
    kept = kept.to(network.mean.device)
    with torch.autocast(kept.device.type, enabled=kept.device.type == "cuda"):
        return network.project(network.activations(kept) if network.trains_whole else kept).float()


def encode_kept(network: HashNetwork, kept: Tensor) -> Tensor:
    """Outputs float [n, L] of the plain views that `keep` gave, nothing learned."""
    with torch.inference_mode():
        return torch.cat([network.normalise(outputs_of(network, block[:, 0])).cpu() for block in kept.split(BATCH)])


def raw_outputs(network: HashNetwork, training_set: TrainingSet) -> Tensor:
    """Outputs before normalisation, float [n, L], of the training set's plain views."""
    return torch.cat([outputs_of(network, block[:, 0]) for block in training_set.activations.split(BATCH)])


def settle(network: HashNetwork, training_set: TrainingSet) -> Tensor:
    """Outputs float [n, L] of the plain views, after setting normalisation or whitening to the training photos' own statistics.

    A running mean over batches of hard tuples would describe these tuples; encoding wants the photos.
    """
    network.eval()
    with torch.inference_mode():
        raw = raw_outputs(network, training_set)
        if network.norm is not None:
            network.norm.load_state_dict(_statistics(network.norm, raw[torch.from_numpy(training_set.train).to(raw.device)]))
        if network.whitening is not None:
            matrix, offset = whitening_of(training_set, raw.cpu().numpy(), network.settings.whitening)
            network.whitening.load_state_dict({"weight": torch.from_numpy(matrix), "bias": torch.from_numpy(offset)})
        return network.normalise(raw).cpu()


def _statistics(norm: torch.nn.BatchNorm1d, outputs: Tensor) -> dict[str, Tensor]:
    return norm.state_dict() | {"running_mean": outputs.mean(0), "running_var": outputs.var(0)}


def whitening_of(training_set: TrainingSet, vectors: np.ndarray, shrinkage: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The whitening, matrix and offset, that the training photos and their similar pairs teach; the identity without one."""
    if shrinkage is None:
        return np.eye(vectors.shape[1], dtype=vectors.dtype), np.zeros(vectors.shape[1], dtype=vectors.dtype)
    row = np.cumsum(training_set.train) - 1  # of a photo among the training photos
    return learn_whitening(vectors[training_set.train], row[training_set.train_pairs], shrinkage)


@functools.lru_cache(maxsize=1)
def _start_vectors(
    training_set: TrainingSet, shrinkage: float | None, parent: HashNetwork | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vectors of the float parent, or else of the pretrained network, and the matrix and offset of their whitening: many
    runs start from the same, and it takes longer than a batch.
    """
    vectors = training_set.vectors
    if parent is not None:
        with torch.inference_mode():
            vectors = raw_outputs(parent, training_set).cpu().numpy()
    return vectors, *whitening_of(training_set, vectors, shrinkage)


def start_network(
    training_set: TrainingSet, settings: Network, bits: int | None, seed: int, parent: HashNetwork | None = None
) -> HashNetwork:
    """The network before training: pretrained backbone, and a hash layer that is random or ITQ's (network.start), seeded; or
    the trained float parent's backbone, and ITQ of its whitened vectors.

    ITQ is fitted to the whitened pretrained vectors of the training photos: no label, and alike for every method. From few
    photos it finds few directions worth a bit, and many bits start better at random: `best` takes the start whose codes have
    the higher validation mAP, ITQ's where they are equal.
    """
    torch.manual_seed(seed)
    network = HashNetwork(settings, bits)
    if network.hash_layer is None or settings.start == "random":
        return network
    if settings.start == "parent":
        if parent is None:
            raise StudyError("network.start: parent: there is no float parent to start from; train a run `float` first")
        network.late.load_state_dict(parent.late.state_dict())
    vectors, matrix, offset = _start_vectors(training_set, settings.whitening, parent if settings.start == "parent" else None)
    whitened = vectors[training_set.train] @ matrix.T + offset
    # One linear map after the other is one; the offset is the normalisation's to take out.
    itq = torch.from_numpy(itq_projection(whitened, network.hash_layer.out_features, seed) @ matrix)
    random = network.hash_layer.weight.detach()
    if settings.start != "best" or _start_map(training_set, network, itq) >= _start_map(training_set, network, random):
        network.hash_layer.load_state_dict(network.hash_layer.state_dict() | {"weight": itq})
    return network


def _start_map(training_set: TrainingSet, network: HashNetwork, weight: Tensor) -> float:
    """The validation mAP of the pretrained vectors' codes under a hash layer of this weight."""
    outputs = torch.from_numpy(training_set.vectors) @ weight.T
    if network.norm is not None:
        outputs -= outputs[torch.from_numpy(training_set.train)].mean(0)
    return validation_map(training_set, outputs, network.bits)


def outputs_before_and_after(study: Study, run: str) -> dict[str, np.ndarray]:
    """Outputs [n, L] of the study's members by a run's network as it started and at its best, for looking at."""
    trained, _ = load_checkpoint(study.checkpoint(run))
    start = load_start(study.start(run), trained.settings, trained.bits)
    views = Views([study.image(photo) for photo in read_table(study.pairs, "members")["photo_id"]], trained.settings.side)
    kept = keep(trained, views, study.params.run.threads, "photos before and after")
    return {"before training": encode_kept(start, kept).numpy(), "after training": encode_kept(trained, kept).numpy()}


def pairs_by_row(study: Study, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similar pairs and as many random dissimilar pairs of a split, as rows of the table `members`, [p, 2] each."""
    members, pairs = read_table(study.pairs, "members"), read_table(study.pairs, "pairs")
    similar = _rows_of(members, pairs)
    chosen, group = np.flatnonzero(members["split"] == split), members["group_id"].to_numpy()
    similar = similar[np.isin(similar[:, 0], chosen)]
    drawn = np.random.default_rng(seed).choice(chosen, (4 * len(similar), 2))
    return similar, drawn[group[drawn[:, 0]] != group[drawn[:, 1]]][: len(similar)]


def distances_from(outputs: Tensor, rows: np.ndarray, bits: int | None) -> np.ndarray:
    """Distances [rows, n] of some photos to all, of their codes or, where bits is None, of their unit vectors."""
    compared = pack(outputs.numpy()) if bits else outputs.numpy()
    return distances(compared[rows], compared)


def validation_map(training_set: TrainingSet, outputs: Tensor, bits: int | None) -> float:
    """mAP (rectangle, expected over ties) of the held-apart photos as queries against all photos; same group = positive."""
    queries = np.flatnonzero(~training_set.train)
    blocks = np.split(queries, range(VALIDATED, len(queries), VALIDATED))
    return float(np.nanmean(np.concatenate([_precisions(training_set, outputs, bits, block) for block in blocks])))


def _precisions(training_set: TrainingSet, outputs: Tensor, bits: int | None, queries: np.ndarray) -> np.ndarray:
    """Average precision of each query (rows of the training set), NaN for one without positives."""
    positive = training_set.group[queries][:, None] == training_set.group[None, :]
    itself = np.zeros(positive.shape, dtype=bool)
    itself[np.arange(len(queries)), queries] = True
    ties = ties_of_distances(distances_from(outputs, queries, bits), positive, itself)
    return average_precision(ties, "rectangle")
