"""Codes for one's own photos: the default network's hash layer, fitted to them as far as they show that it helps.

Four candidates, each a hash layer on the default network's vectors:

    default          its own layer, with its thresholds at the mean of these photos
    own statistics   the principal components of these photos, without any label, rotated towards the default's directions
    own components   the same components themselves
    trained          own statistics, trained on the pairs of the photos' 3D models

Cross-validation over places (groups of 3D models) compares them; a candidate is used only if it is better than the default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from bcdh_lib.params import Params
from bcdh_lib.search.default_network.files import METHOD, DefaultNetwork
from bcdh_lib.training.hash_layer import layer_rounds
from bcdh_lib.training.network import HashLayer
from bcdh_lib.training.training_set import TrainingVectors
from bcdh_lib.training.validation import held_apart_precisions

PLACES = 4
"""Places with similar pairs that cross-validation needs: one is held apart, the largest and another one are trained on."""
FOLDS = 5
MEAN_PRIOR, SPREAD_PRIOR = 4, 1000
"""Weight, in photos, of the default network's mean and of its covariance."""
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class OwnPhotos:
    """One's own photos as vectors of the default network, and what their 3D models say about some of them."""

    vectors: NDArray[np.float32]  # of all photos, [n, d]
    members: TrainingVectors  # photos in 3D models, all of them for training
    rows: NDArray[np.int64]  # of the members among all photos


def learn(default: DefaultNetwork, photos: OwnPhotos, params: Params, bits: int) -> tuple[HashLayer, pd.DataFrame]:
    """The hash layer to use, and a table of the candidates: codes, bits, places, map (each place counts equally), its difference
    from the default's with the bounds low and high of its confidence interval, chosen, and why.

    Without enough places the one with own statistics is used and the table has no map.
    """
    layers = {name: make(default, photos.vectors, bits) for name, make in UNTRAINED.items()}
    places = np.unique(photos.members.group[photos.members.pairs[:, 0]])
    if len(places) < PLACES:
        why = f"{len(places)} places have 3D models with similar pairs; at least {PLACES} are needed"
        table = pd.DataFrame({"codes": ["default", "own statistics"], "chosen": [False, True], "why": ["", why]})
        return layers["own statistics"], table.assign(bits=bits, places=len(places))
    precisions, rounds = _cross_validate(default, photos, params, bits, places)
    table = compare(precisions, photos.members.group).assign(bits=bits)
    chosen = table.loc[table["chosen"], "codes"].item()
    if chosen in layers:
        return layers[chosen], table
    trained = layer_rounds(layers["own statistics"], photos.members, params, METHOD, params.run.seed)
    return next(layer for layer, row in trained if row["round"] == rounds), table


def recentred(default: DefaultNetwork, vectors: NDArray[np.float32], bits: int) -> HashLayer:
    """The default network's layer with its thresholds at the mean of these vectors, shrunk towards its own."""
    layer = default.layers[bits]
    return _layer(layer.linear.weight.detach().numpy(), _mean(default, vectors), _variances(layer).numpy())


def with_components(default: DefaultNetwork, vectors: NDArray[np.float32], bits: int) -> HashLayer:
    """A layer of the first principal components of these vectors.

    Their covariance is shrunk towards the default network's: few photos change little. All outputs have one scale, so the
    components with a large variance weigh most in asymmetric distances.
    """
    covariance = _covariance(default, vectors)
    variances, basis = np.linalg.eigh(covariance)
    return _layer(basis[:, : -bits - 1 : -1].T, _mean(default, vectors), np.full(bits, variances[-bits:].mean()))


def with_statistics(default: DefaultNetwork, vectors: NDArray[np.float32], bits: int) -> HashLayer:
    """The same components, rotated to be as near to the default's directions as they can; every bit has the same variance."""
    covariance = _covariance(default, vectors)
    basis = np.linalg.eigh(covariance)[1][:, -bits:]
    layer = default.layers[bits]
    directions = layer.linear.weight.detach().numpy() / np.sqrt(_variances(layer).numpy() + layer.norm.eps)[:, None]
    left, _, right = np.linalg.svd(basis.T @ directions.T)
    weight = (basis @ left @ right).T
    return _layer(weight, _mean(default, vectors), np.einsum("ij,jk,ik->i", weight, covariance, weight))


UNTRAINED = {"default": recentred, "own statistics": with_statistics, "own components": with_components}
"""The candidates that need no pair."""


def _covariance(default: DefaultNetwork, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    own = np.cov(vectors.T.astype(np.float64)) if len(vectors) > 1 else np.zeros_like(default.covariance)
    share = len(vectors) / (len(vectors) + SPREAD_PRIOR)
    return share * own / max(np.trace(own), 1e-12) + (1 - share) * default.covariance


def _mean(default: DefaultNetwork, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    total = vectors.sum(0, dtype=np.float64) + MEAN_PRIOR * default.mean
    return (total / (len(vectors) + MEAN_PRIOR)).astype(np.float32)


def _variances(layer: HashLayer) -> Tensor:
    """Of the layer's outputs before their normalisation, one a bit."""
    return layer.norm.state_dict()["running_var"]


def _layer(weight: NDArray, mean: NDArray[np.float32], variance: NDArray) -> HashLayer:
    weight = weight.astype(np.float32)
    return HashLayer.of(*map(torch.from_numpy, (weight, weight @ mean, variance.astype(np.float32))))


def folds(group: NDArray, places: NDArray, seed: int) -> list[NDArray]:
    """The places that are held apart in each fold: every place but the largest once, large and small ones mixed."""
    sizes = pd.Series(group).value_counts()
    shuffled = np.random.default_rng([seed, 7]).permutation(places)
    ordered = shuffled[np.argsort(-sizes[shuffled].to_numpy(), kind="stable")][1:]
    count = min(FOLDS, len(ordered))
    return [ordered[fold::count] for fold in range(count)]


def _cross_validate(
    default: DefaultNetwork, photos: OwnPhotos, params: Params, bits: int, places: NDArray
) -> tuple[dict[str, NDArray], int]:
    """Each candidate's average precision of each photo as a query, [n] (NaN if it never is), while its place is held apart, from
    the statistics too: candidates are compared on places that are new to them. And the number of rounds that is best for
    training; it is 0 if no round is better than the start.
    """
    rounds, members = params.training.hash_layer.rounds, photos.members
    precisions = {name: np.full(len(members.group), np.nan) for name in UNTRAINED}
    by_round = np.full((rounds + 1, len(members.group)), np.nan)
    for held in folds(members.group, places, params.run.seed):
        fold = replace(members, train=~np.isin(members.group, held))
        others = np.delete(photos.vectors, photos.rows[~fold.train], 0)
        layers = {name: make(default, others, bits) for name, make in UNTRAINED.items()}
        for name, layer in layers.items():
            precisions[name][~fold.train] = _precisions(layer, fold)
        by_round[0] = precisions["own statistics"]
        for layer, row in layer_rounds(layers["own statistics"], fold, params, METHOD, params.run.seed):
            by_round[row["round"], ~fold.train] = _precisions(layer, fold)
    means = [float(np.mean(of_places(each, members.group))) for each in by_round]
    best = int(np.argmax(means))
    return precisions | {"trained": by_round[best]}, best


def _precisions(layer: HashLayer, fold: TrainingVectors) -> NDArray:
    with torch.no_grad():
        outputs = layer(torch.from_numpy(fold.vectors))
    return held_apart_precisions(fold.group, fold.train, outputs, outputs.shape[1])


def of_places(precisions: NDArray, group: NDArray) -> NDArray:
    """The mean over each place's queries, of places with any."""
    return pd.Series(precisions).groupby(group).mean().dropna().to_numpy()


def compare(precisions: dict[str, NDArray], group: NDArray) -> pd.DataFrame:
    """The table of `learn`: the best candidate that is significantly better than the default is chosen, else the default."""
    values = {name: of_places(each, group) for name, each in precisions.items()}
    rows = []
    for name, of_place in values.items():
        difference = of_place - values["default"]
        error = stats.sem(difference) * stats.t.ppf((1 + CONFIDENCE) / 2, len(difference) - 1)
        rows.append((name, len(of_place), of_place.mean(), difference.mean(), error))
    table = pd.DataFrame(rows, columns=["codes", "places", "map", "difference", "error"])
    table = table.assign(low=table["difference"] - table["error"], high=table["difference"] + table.pop("error"))
    better = table[table["low"] > 0]
    chosen = int(better["map"].idxmax()) if len(better) else 0
    why = "significantly better than the default, and the best" if chosen else "no other candidate is significantly better"
    return table.assign(chosen=table.index == chosen, why=np.where(table.index == chosen, why, ""))
