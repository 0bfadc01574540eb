"""Codes for one's own photos: the default network, fitted to them as far as they show that it helps.

The candidates are hash layers on vectors of a network:

    default          the default network's own layer, with its thresholds at the mean of these photos
    own statistics   ITQ of these photos: principal components, rotated; no label is used
    own pairs        the same after a whitening that is learned from the similar pairs of the photos' 3D models
    fine-tuned       the same on vectors of blocks that were trained further on these pairs, as a float baseline is

Cross-validation over places (groups of 3D models) compares all but own statistics; the best one over all code lengths is used:
one length alone misleads more often. Without enough places for that, own statistics are used.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import trange

from bcdh_lib.params import BaselineTraining
from bcdh_lib.search.default_network.files import COMPONENTS, DefaultNetwork
from bcdh_lib.training.batches import draw_tuples
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.encoding import encode
from bcdh_lib.training.float_baseline import Pooling, averaged, make_baseline_loss, train_round
from bcdh_lib.training.hash_layer import assemble
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.network import HashLayer, HashNetwork
from bcdh_lib.training.training_set import TrainingSet, pairs_among
from bcdh_lib.training.validation import held_apart_precisions
from bcdh_lib.training.whitening import learn_whitening

PLACES = 4
"""Places with similar pairs that cross-validation needs: one is held apart, the largest and another one are learned from."""
FOLDS = 5
MEAN_PRIOR, SPREAD_PRIOR, PAIRS_PRIOR = 4, 300, 100
"""Weight of the default network's mean and covariance, in photos, and of no whitening, in places."""
PAIRS_A_PLACE = 200
"""Drawn for the whitening, so that each place counts equally."""
T = TypeVar("T")
Vectors = NDArray[np.float32]
Layers = dict[int, HashLayer]
"""Hash layers by code length."""


class Candidate(NamedTuple):
    """Hash layers, the network whose vectors they encode, and its vectors of all photos, [n, d]."""

    baseline: HashNetwork
    vectors: Vectors
    layers: Layers


@dataclass(frozen=True, eq=False)
class Places:
    """What the 3D models say about photos: group [n] (-1: in none), and the similar pairs as rows [p, 2]."""

    group: NDArray[np.int64]
    pairs: NDArray[np.int64]

    @cached_property
    def names(self) -> NDArray[np.int64]:
        """The groups with similar pairs."""
        return np.unique(self.group[self.pairs[:, 0]])

    def among(self, stays: NDArray[np.bool_]) -> "Places":
        """Of the photos that stay, bool [n], alone."""
        return Places(self.group[stays], pairs_among(self.pairs, stays))


@dataclass(frozen=True)
class Learner:
    """What own learning needs: the default network, the settings of its float baseline, the seed, and a folder that keeps the
    blocks trained so far, so that a killed run continues there."""

    default: DefaultNetwork
    settings: BaselineTraining
    seed: int
    folder: Path


def learn(learner: Learner, activations: Tensor, places: Places) -> tuple[dict[int, HashNetwork], pd.DataFrame]:
    """The network to use at each code length, and a table of the candidates: codes, bits, places, map (each place counts
    equally), its difference from the default's, the standard error of that, chosen, and why.

    activations: of the default network's frozen blocks, [n, 1, ...]. Without enough places own statistics are used, and the
    table has no map.
    """
    lengths, count = list(learner.default.layers), len(places.names)
    vectors = encode(learner.default.baseline, activations).numpy()
    if count < PLACES:
        why = f"{count} places have 3D models with similar pairs; at least {PLACES} are needed"
        rows = [each for bits in lengths for each in (("default", bits, False, ""), ("own statistics", bits, True, why))]
        table = pd.DataFrame(rows, columns=["codes", "bits", "chosen", "why"]).assign(places=count)
    else:
        precisions = _cross_validate(learner, activations, vectors, places)
        of_length = {bits: {name: each for (name, of), each in precisions.items() if of == bits} for bits in lengths}
        tables = [compare(each, places.group).assign(bits=bits) for bits, each in of_length.items()]
        table = choose(pd.concat(tables, ignore_index=True))
    chosen = table.loc[table["chosen"], "codes"].iloc[0]
    used = named(chosen, candidates(learner, activations, vectors, places, held=np.array([])))
    return {bits: assemble(used.baseline, layer) for bits, layer in used.layers.items()}, table


def named(name: str, found: Iterable[tuple[str, T]]) -> T:
    """The one of this name; what comes after it is not computed."""
    return next(each for other, each in found if other == name)


def candidates(
    learner: Learner, activations: Tensor, vectors: Vectors, places: Places, held: NDArray[np.int64]
) -> Iterator[tuple[str, Candidate]]:
    """All candidates with their names, learned from the photos that are not in the places `held`. The last takes minutes."""
    stays = ~np.isin(places.group, held)
    known, default = places.among(stays), learner.default
    for name, layers in fit_layers(default, vectors[stays], known, learner.seed):
        yield name, Candidate(default.baseline, vectors, layers)
    tuned = fine_tune(learner, activations, places, stays)
    moved = encode(tuned, activations).numpy()
    layers = named("own pairs", fit_layers(default, moved[stays], known, learner.seed))
    yield "fine-tuned", Candidate(tuned, moved, layers)


def fine_tune(learner: Learner, activations: Tensor, places: Places, stays: NDArray[np.bool_]) -> HashNetwork:
    """The default network's blocks trained further on the photos that stay and are in a place, as a float baseline is.

    Each photo is a query about once: few photos are soon known by heart. settings.rounds limits the time that many photos take.
    The whitening stays: own pairs learn another one on top.
    """
    train, settings = stays & (places.group >= 0), learner.settings
    learned_from = hashlib.sha256(np.where(train, places.group, -1).tobytes()).hexdigest()
    file = learner.folder / f"{learned_from[:16]}.safetensors"
    if file.with_suffix(".json").exists():  # written last
        return load_checkpoint(file)[0]
    network = copy.deepcopy(learner.default.baseline)
    pretrained, loss = copy.deepcopy(network.late.state_dict()), make_baseline_loss(settings)
    rows = np.flatnonzero(train)
    known = places.among(train)
    photos = TrainingSet(activations[rows], known.group, np.ones(len(rows), bool), known.pairs)
    optimiser = torch.optim.AdamW(network.late.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rounds = min(settings.rounds, -(-len(np.unique(known.pairs[:, 0])) // (settings.steps_per_round * settings.tuples)))
    for number in trange(1, rounds + 1, desc="fine-tuning", unit="round"):
        batches = draw_tuples(photos, encode(network, photos.views), settings, learner.seed, number)
        train_round(Pooling(network), loss, optimiser, photos.views, batches)
    save_checkpoint(file, averaged(network, pretrained, settings.trained_share), {})
    return load_checkpoint(file)[0]


def fit_layers(default: DefaultNetwork, vectors: Vectors, places: Places, seed: int) -> Iterator[tuple[str, Layers]]:
    """The candidates' hash layers on vectors, with their names.

    Few photos or places change little: their statistics are mixed with the default's.
    All outputs have one scale, so those with a large variance weigh most in asymmetric distances.
    """
    count = len(vectors)
    mean = (vectors.sum(0, dtype=np.float64) + MEAN_PRIOR * default.mean) / (count + MEAN_PRIOR)
    own = np.cov(vectors.T.astype(np.float64)) if count > 1 else np.zeros_like(default.covariance)
    share = count / (count + SPREAD_PRIOR)
    covariance = share * own / max(np.trace(own), 1e-12) + (1 - share) * default.covariance
    variances, basis = (each[..., -COMPONENTS:] for each in np.linalg.eigh(covariance))
    seen = ((vectors - mean) @ basis).astype(np.float32)
    variance = {bits: layer.norm.state_dict()["running_var"].numpy() for bits, layer in default.layers.items()}
    weights = {bits: layer.linear.weight.detach().numpy() for bits, layer in default.layers.items()}
    yield "default", {bits: _layer(weight, mean, variance[bits]) for bits, weight in weights.items()}
    for name, whitening in (("own pairs", _whitening(places, seen, seed)), ("own statistics", np.eye(len(variances)))):
        spread, directions = np.linalg.eigh(whitening * variances @ whitening.T)
        layers = {}
        for bits in default.layers:
            weight = directions[:, : -bits - 1 : -1].T @ whitening
            rotation = itq_projection(seen @ weight.T.astype(np.float32), bits, seed)
            layers[bits] = _layer(rotation @ weight @ basis.T, mean, np.full(bits, spread[-bits:].mean()))
        yield name, layers


def _whitening(places: Places, vectors: Vectors, seed: int) -> NDArray[np.float64]:
    """The symmetric matrix of learn_whitening: the fewer places, the nearer it is to the identity."""
    if not len(places.pairs):
        return np.eye(vectors.shape[1])
    place = pd.Series(places.group[places.pairs[:, 0]])
    drawn = places.pairs[place.groupby(place).sample(PAIRS_A_PLACE, replace=True, random_state=seed).index]
    return learn_whitening(vectors, drawn, PAIRS_PRIOR / len(places.names))[0].astype(np.float64)


def _layer(weight: NDArray, mean: NDArray, variance: NDArray) -> HashLayer:
    arrays = (np.ascontiguousarray(each, np.float32) for each in (weight, weight @ mean, variance))
    return HashLayer.of(*map(torch.from_numpy, arrays))


def folds(group: NDArray[np.int64], places: NDArray[np.int64], seed: int) -> list[NDArray]:
    """The places that are held apart in each fold: every place but the largest once, large and small ones mixed."""
    sizes = pd.Series(group).value_counts()
    shuffled = np.random.default_rng([seed, 7]).permutation(places)
    ordered = shuffled[np.argsort(-sizes[shuffled].to_numpy(), kind="stable")][1:]
    count = min(FOLDS, len(ordered))
    return [ordered[fold::count] for fold in range(count)]


def _cross_validate(
    learner: Learner, activations: Tensor, vectors: Vectors, places: Places
) -> dict[tuple[str, int], NDArray[np.float64]]:
    """Each candidate's average precision of each photo as a query, [n] (NaN if it never is), while its place is held apart, from
    the statistics too: candidates are compared on places that are new to them.
    """
    grouped = np.flatnonzero(places.group >= 0)
    group = places.group[grouped]
    precisions: dict[tuple[str, int], NDArray[np.float64]] = {}
    for held in folds(group, places.names, learner.seed):
        train = ~np.isin(group, held)
        for name, candidate in candidates(learner, activations, vectors, places, held):
            if name == "own statistics":  # never chosen if there are places to compare on
                continue
            for bits, layer in candidate.layers.items():
                with torch.no_grad():
                    outputs = layer(torch.from_numpy(candidate.vectors[grouped]))
                each = precisions.setdefault((name, bits), np.full(len(places.group), np.nan))
                each[grouped[~train]] = held_apart_precisions(group, train, outputs, bits)
    return precisions


def compare(precisions: dict[str, NDArray], group: NDArray) -> pd.DataFrame:
    """The candidates of one code length: map, difference and its standard error, each place counting equally."""
    values = pd.DataFrame({name: pd.Series(each).groupby(group).mean() for name, each in precisions.items()}).dropna()
    differences = values.sub(values["default"], axis=0)
    table = pd.DataFrame({"map": values.mean(), "difference": differences.mean(), "error": differences.sem()})
    return table.rename_axis("codes").reset_index().assign(places=len(values))


def choose(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the candidate that is best over all code lengths as chosen; the first, the default, of equal ones."""
    chosen = table["codes"] == table.groupby("codes", sort=False)["difference"].mean().idxmax()
    return table.assign(chosen=chosen, why=np.where(chosen, "the best over all code lengths, on places held apart", ""))
