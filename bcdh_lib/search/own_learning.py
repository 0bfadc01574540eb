"""Codes for one's own photos: the default network's hash layer, fitted to them as far as they show that it helps.

The candidates are hash layers on the default network's vectors:

    default          its own layer, with its thresholds at the mean of these photos
    own statistics   ITQ of these photos: principal components, rotated; no label is used
    own pairs        the same after a whitening that is learned from the similar pairs of the photos' 3D models

Cross-validation over places (groups of 3D models) compares the first and the last; the better one over all code lengths is
used: one length alone misleads more often. Without enough places for that, own statistics are used.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import linalg

from bcdh_lib.search.default_network.files import COMPONENTS, DefaultNetwork
from bcdh_lib.training.itq import itq_projection
from bcdh_lib.training.network import HashLayer
from bcdh_lib.training.training_set import pairs_among
from bcdh_lib.training.validation import held_apart_precisions
from bcdh_lib.training.whitening import learn_whitening

PLACES = 4
"""Places with similar pairs that cross-validation needs: one is held apart, the largest and another one are learned from."""
FOLDS = 5
MEAN_PRIOR, SPREAD_PRIOR, PAIRS_PRIOR = 4, 300, 100
"""Weight of the default network's mean and covariance, in photos, and of no whitening, in places."""
PAIRS_A_PLACE = 200
"""Drawn for the whitening, so that each place counts equally."""
Layers = dict[tuple[str, int], HashLayer]
"""Hash layers by candidate and code length."""


@dataclass(frozen=True, eq=False)
class OwnPhotos:
    """One's own photos as vectors of the default network, and what their 3D models say about some of them."""

    vectors: NDArray[np.float32]  # [n, d]
    group: NDArray[np.int64]  # [n], of 3D models; -1: in none
    pairs: NDArray[np.int64]  # similar photos, as rows, [p, 2]

    @property
    def places(self) -> NDArray[np.int64]:
        """The groups with similar pairs."""
        return np.unique(self.group[self.pairs[:, 0]])


def without(photos: OwnPhotos, places: NDArray[np.int64]) -> OwnPhotos:
    """The photos without those of some places."""
    stays = ~np.isin(photos.group, places)
    return OwnPhotos(photos.vectors[stays], photos.group[stays], pairs_among(photos.pairs, stays))


def learn(default: DefaultNetwork, photos: OwnPhotos, seed: int) -> tuple[dict[int, HashLayer], pd.DataFrame]:
    """The hash layer to use at each code length, and a table of the candidates: codes, bits, places, map (each place counts
    equally), its difference from the default's, the standard error of that, chosen, and why.

    Without enough places own statistics are used, and the table has no map.
    """
    layers, places = candidates(default, photos, seed), len(photos.places)
    if places < PLACES:
        why = f"{places} places have 3D models with similar pairs; at least {PLACES} are needed"
        rows = [each for bits in default.layers for each in (("default", bits, False, ""), ("own statistics", bits, True, why))]
        table = pd.DataFrame(rows, columns=["codes", "bits", "chosen", "why"]).assign(places=places)
    else:
        precisions = _cross_validate(default, photos, seed)
        of_length = {bits: {name: each for (name, of), each in precisions.items() if of == bits} for bits in default.layers}
        tables = [compare(each, photos.group).assign(bits=bits) for bits, each in of_length.items()]
        table = choose(pd.concat(tables, ignore_index=True))
    return {row.bits: layers[row.codes, row.bits] for row in table[table["chosen"]].itertuples()}, table


def candidates(default: DefaultNetwork, photos: OwnPhotos, seed: int) -> Layers:
    """All candidates. Few photos or places change little: their statistics are mixed with the default's.

    All outputs have one scale, so those with a large variance weigh most in asymmetric distances.
    """
    vectors, count = photos.vectors, len(photos.vectors)
    mean = (vectors.sum(0, dtype=np.float64) + MEAN_PRIOR * default.mean) / (count + MEAN_PRIOR)
    own = np.cov(vectors.T.astype(np.float64)) if count > 1 else np.zeros_like(default.covariance)
    share = count / (count + SPREAD_PRIOR)
    covariance = share * own / max(np.trace(own), 1e-12) + (1 - share) * default.covariance
    first = max(0, len(covariance) - COMPONENTS)
    variances, basis = linalg.eigh(covariance, subset_by_index=(first, len(covariance) - 1))
    seen = ((vectors - mean) @ basis).astype(np.float32)
    layers = {}
    for bits, layer in default.layers.items():
        variance = layer.norm.state_dict()["running_var"].numpy()
        layers["default", bits] = _layer(layer.linear.weight.detach().numpy(), mean, variance)
    for name, whitening in (("own statistics", np.eye(len(variances))), ("own pairs", _whitening(photos, seen, seed))):
        spread, directions = np.linalg.eigh(whitening * variances @ whitening.T)
        for bits in default.layers:
            weight = directions[:, : -bits - 1 : -1].T @ whitening
            rotation = itq_projection(seen @ weight.T.astype(np.float32), bits, seed)
            layers[name, bits] = _layer(rotation @ weight @ basis.T, mean, np.full(bits, spread[-bits:].mean()))
    return layers


def _whitening(photos: OwnPhotos, vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """The symmetric matrix of learn_whitening: the fewer places, the nearer it is to the identity."""
    if not len(photos.pairs):
        return np.eye(vectors.shape[1])
    place = pd.Series(photos.group[photos.pairs[:, 0]])
    drawn = photos.pairs[place.groupby(place).sample(PAIRS_A_PLACE, replace=True, random_state=seed).index]
    return learn_whitening(vectors, drawn, PAIRS_PRIOR / len(photos.places))[0].astype(np.float64)


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


def _cross_validate(default: DefaultNetwork, photos: OwnPhotos, seed: int) -> dict[tuple[str, int], NDArray]:
    """Each candidate's average precision of each photo as a query, [n] (NaN if it never is), while its place is held apart, from
    the statistics too: candidates are compared on places that are new to them.
    """
    grouped = np.flatnonzero(photos.group >= 0)
    precisions: dict[tuple[str, int], NDArray] = {}
    for places in folds(photos.group[grouped], photos.places, seed):
        train = ~np.isin(photos.group[grouped], places)
        layers = candidates(default, without(photos, places), seed)
        for name, layer in ((name, layer) for name, layer in layers.items() if name[0] != "own statistics"):
            with torch.no_grad():
                outputs = layer(torch.from_numpy(photos.vectors[grouped]))
            each = precisions.setdefault(name, np.full(len(photos.group), np.nan))
            each[grouped[~train]] = held_apart_precisions(photos.group[grouped], train, outputs, outputs.shape[1])
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
