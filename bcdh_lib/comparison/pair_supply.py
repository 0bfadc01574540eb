"""What else could supply the pairs: the training set as it would be with other pairs than those of the 3D models.

So that the claim "3D models supply the pairs" is itself tested. Photos held apart for validation stay as they are, with the
groups of the 3D models: every supply is validated alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from bcdh_lib.core.settings import Section, Share
from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.diagnostics import true_landmarks
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, device, encode_kept, keep
from bcdh_lib.training.views import Views

Rows = NDArray[np.int64]


class Supply(Section):
    """Where pairs come from: an entry of study.yaml's ablations.

    models: the 3D models; of them only a `share`, or with a share of `false_pairs` mixed in. truth: true landmarks of the same
    photos, and whole_pile_truth: of all photos. clusters: k-means of the pretrained vectors, as many as there are groups of
    models, of all photos. augmentation: a photo is similar to its own augmented views alone, all photos.
    """

    source: Literal["models", "truth", "whole_pile_truth", "clusters", "augmentation"] = "models"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    false_pairs: Share = 0.0


Whole = Callable[[], tuple[TrainingSet, Rows]]
"""Gives what `whole_pile` does, made when it is first asked for."""


def supplied(study: Study, training_set: TrainingSet, whole: Whole, supply: Supply, seed: int) -> TrainingSet:
    """The training set with its pairs supplied otherwise; what is drawn at random is drawn with the seed."""
    changed = SOURCES[supply.source](study, training_set, whole, seed)
    if supply.share < 1:
        changed = fewer_groups(changed, supply.share, seed)
    return false_pairs(changed, supply.false_pairs, seed) if supply.false_pairs else changed


def fewer_groups(training_set: TrainingSet, share: float, seed: int) -> TrainingSet:
    """A share of the training groups, at least two, drawn at random; the photos of the others are gone."""
    groups = np.unique(training_set.group[training_set.train])
    drawn = np.random.default_rng([seed, 1]).permutation(groups)[: max(2, round(share * len(groups)))]
    return subset(training_set, ~training_set.train | np.isin(training_set.group, drawn))


def false_pairs(training_set: TrainingSet, share: float, seed: int) -> TrainingSet:
    """A share of the similar training pairs replaced by pairs of photos of two groups, said to be similar in both directions."""
    generator = np.random.default_rng([seed, 2])
    known, train = training_set.pairs, np.flatnonzero(training_set.train)
    own = np.unique(np.sort(training_set.train_pairs, axis=1), axis=0)
    out = own[generator.permutation(len(own))[: round(share * len(own))]]
    drawn = generator.choice(train, (8 * len(out) + 8, 2))
    drawn = drawn[training_set.group[drawn[:, 0]] != training_set.group[drawn[:, 1]]][: len(out)]
    n = len(training_set.group)
    keys = np.sort(known, axis=1) @ [n, 1]
    kept = known[~np.isin(keys, out @ [n, 1])]
    return replace(training_set, pairs=np.concatenate([kept, drawn, drawn[:, ::-1]]))


def subset(training_set: TrainingSet, chosen: NDArray[np.bool_]) -> TrainingSet:
    """Some of the photos, and the pairs among them."""
    row = np.cumsum(chosen) - 1
    pairs = training_set.pairs[chosen[training_set.pairs].all(1)]
    return replace(
        training_set,
        activations=training_set.activations[torch.from_numpy(chosen)],
        group=training_set.group[chosen],
        train=training_set.train[chosen],
        pairs=row[pairs],
        vectors=training_set.vectors[chosen],
    )


def relabelled(training_set: TrainingSet, label: Rows) -> TrainingSet:
    """Training photos of one label [n] are similar, of two dissimilar; what is held apart keeps its groups and pairs."""
    train = training_set.train
    group = np.where(train, label + training_set.group.max() + 1, training_set.group)
    first, second = np.nonzero((group[:, None] == group[None]) & train[:, None] & ~np.eye(len(group), dtype=bool))
    held_apart = training_set.pairs[~train[training_set.pairs[:, 0]]]
    return replace(training_set, group=group, pairs=np.concatenate([held_apart, np.stack([first, second], 1)]))


def whole_pile(study: Study, training_set: TrainingSet) -> tuple[TrainingSet, Rows]:
    """The training set with the photos of the pile that are in no model as training photos besides, each a group of its own.

    Also the photo_id of every row. What is held apart for the benchmark `pile` stays out.
    """
    members, params = read_table(study.pairs, "members"), study.params
    ours = members.loc[members["split"] != "test", "photo_id"].to_numpy(np.int64)
    others = np.setdiff1d(read_table(study.photos, "photos")["photo_id"], members["photo_id"])
    if not len(others):
        return training_set, ours
    paths = [study.image(photo) for photo in others]
    views = Views(paths, params.network.side, augmented=params.training.views, seed=params.run.seed)
    network = HashNetwork(params.network, bits=None).to(device()).eval()
    activations = keep(network, views, params.run.threads, "photos in no model")
    group = training_set.group.max() + 1 + np.arange(len(others))
    whole = replace(
        training_set,
        activations=torch.cat([training_set.activations, activations]),
        group=np.concatenate([training_set.group, group]),
        train=np.concatenate([training_set.train, np.ones(len(others), dtype=bool)]),
        vectors=np.concatenate([training_set.vectors, encode_kept(network, activations).numpy()]),
    )
    return whole, np.concatenate([ours, others])


def _models(study: Study, training_set: TrainingSet, whole: Whole, seed: int) -> TrainingSet:
    return training_set


def _truth(study: Study, training_set: TrainingSet, whole: Whole, seed: int) -> TrainingSet:
    members = read_table(study.pairs, "members")
    return of_landmarks(study, training_set, members.loc[members["split"] != "test", "photo_id"].to_numpy(np.int64))


def _whole_pile_truth(study: Study, training_set: TrainingSet, whole: Whole, seed: int) -> TrainingSet:
    return of_landmarks(study, *whole())


def of_landmarks(study: Study, training_set: TrainingSet, photo_ids: Rows) -> TrainingSet:
    """Relabelled by true landmarks; training photos of a landmark that is also held apart are gone, as with the models."""
    label = np.unique(true_landmarks(study).loc[photo_ids].to_numpy(str), return_inverse=True)[1]
    apart = np.isin(label, label[~training_set.train])
    chosen = ~training_set.train | ~apart
    return relabelled(subset(training_set, chosen), label[chosen])


def _clusters(study: Study, training_set: TrainingSet, whole: Whole, seed: int) -> TrainingSet:
    groups = len(np.unique(training_set.group[training_set.train]))
    pile, _ = whole()
    label = np.zeros(len(pile.group), dtype=np.int64)
    label[pile.train] = cluster(pile.vectors[pile.train], groups, seed)
    return relabelled(pile, label)


def cluster(vectors: NDArray[np.float32], clusters: int, seed: int) -> Rows:
    """The cluster of each vector [n, d] by spherical k-means, the best of five starts."""
    means = faiss.Kmeans(vectors.shape[1], clusters, niter=30, nredo=5, seed=seed, spherical=True, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(vectors))
    return means.index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]


def _augmentation(study: Study, training_set: TrainingSet, whole: Whole, seed: int) -> TrainingSet:
    pile, _ = whole()
    alone = relabelled(pile, np.arange(len(pile.group)))
    itself = np.flatnonzero(pile.train)
    return replace(alone, pairs=np.concatenate([alone.pairs, np.stack([itself, itself], 1)]))


SOURCES: dict[str, Callable[[Study, TrainingSet, Whole, int], TrainingSet]] = {
    "models": _models,
    "truth": _truth,
    "whole_pile_truth": _whole_pile_truth,
    "clusters": _clusters,
    "augmentation": _augmentation,
}
