"""Other supplies of pairs than the 3D models, as ablations: what the pairs are worth that the hash layer learns from.

The vectors stay those of the float baseline, and the held-apart photos keep their groups, so every supply is validated equally.
"""

from dataclasses import replace

import faiss
import numpy as np
from numpy.typing import NDArray

from bcdh_lib.comparison.plan import Supply
from bcdh_lib.pairs.diagnostics import true_landmarks
from bcdh_lib.study import Study
from bcdh_lib.training.training_set import TrainingSet, read_labels


def supplied(study: Study, vectors: TrainingSet, pretrained: TrainingSet, supply: Supply, seed: int) -> TrainingSet:
    """The training vectors with the pairs of another supply; what is random is drawn with the seed.

    pretrained: the same photos' vectors before any training, for clusters (spherical k-means, the best of five starts). Rendered
    collections alone have true landmarks.
    """
    train, labels = vectors.train, np.zeros(len(vectors.group), dtype=np.int64)
    if supply.source == "truth":
        landmarks = true_landmarks(study).loc[read_labels(study)[0]]
        labels = np.unique(landmarks.to_numpy(str), return_inverse=True)[1]
    elif supply.source == "clusters":
        learned, groups = np.ascontiguousarray(pretrained.vectors[train]), len(np.unique(vectors.group[train]))
        means = faiss.Kmeans(learned.shape[1], groups, niter=30, nredo=5, seed=seed, spherical=True, min_points_per_centroid=1)
        means.train(learned)
        labels[train] = means.index.search(learned, 1)[1][:, 0]
    if supply.source != "models":
        vectors = relabelled(vectors, labels)
    return move_photos(vectors, supply.wrong, seed)


def relabelled(vectors: TrainingSet, labels: NDArray[np.int64]) -> TrainingSet:
    """Training photos with equal labels [n] are one group, every pair of them similar; held-apart photos stay as they are."""
    train = vectors.train
    group = np.where(train, labels + vectors.group.max() + 1, vectors.group)
    rows = np.flatnonzero(train)
    first, second = np.nonzero(group[rows][:, None] == group[rows])
    pairs = np.stack([rows[first], rows[second]], 1)[first != second]
    return replace(vectors, group=group, pairs=np.concatenate([vectors.pairs[~train[vectors.pairs[:, 0]]], pairs]))


def move_photos(vectors: TrainingSet, share: float, seed: int) -> TrainingSet:
    """A share of the training photos changes places with each other: each then has the group and the pairs of another one."""
    rows, place = np.flatnonzero(vectors.train), np.arange(len(vectors.group))
    chosen = np.random.default_rng([seed, 2]).choice(rows, round(share * len(rows)), replace=False)
    place[chosen] = np.roll(chosen, 1)
    return replace(vectors, views=vectors.views[place])
