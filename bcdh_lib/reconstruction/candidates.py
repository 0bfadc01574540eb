"""Photos -> candidate pairs: which photos are worth matching, found by retrieval instead of trying all pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import scipy.sparse as sparse
from tqdm import tqdm

from bcdh_lib.params import Reconstruction
from bcdh_lib.reconstruction.features import read_descriptors
from bcdh_lib.reconstruction.matches import components, graph_of
from bcdh_lib.study import Study

CELL = 32  # words, at least, of a cell that a search of the vocabulary opens or leaves closed
SEARCHED = 64  # photos whose words are searched at once
BLOCK = 256  # photos whose similarities to all others are in memory at once


def propose_candidates(study: Study, database: Path, photo_ids: Sequence[int]) -> np.ndarray:
    """Each photo's nearest ones by reconstruction.candidates, as many as `far_neighbours` or `neighbours`, whichever is more.

    words: bags of SIFT words; codes: a trained checkpoint's; both: the union; exhaustive: all pairs, to measure the others by.
    Returns int64 [proposals, 3]: a photo's id, another's, and the other's place among the nearest, 0 for the nearest.
    Raises StudyError where codes are asked for and reconstruction.checkpoint gives none.
    """
    settings = study.params.reconstruction
    reach = max(settings.neighbours, settings.far_neighbours)
    if settings.candidates == "exhaustive":
        pairs = all_pairs(photo_ids)
        return np.column_stack([pairs, np.zeros(len(pairs), np.int64)])
    proposed = []
    faiss.omp_set_num_threads(1)  # sums in one order, on any number of cores
    if settings.candidates in ("words", "both"):
        vocabulary = draw_vocabulary(database, photo_ids, settings.words, study.params.run.seed)
        proposed.append(nearest(bags_of_words(database, photo_ids, vocabulary), reach))
    if settings.candidates in ("codes", "both"):
        from bcdh_lib.reconstruction.encoding import nearest_by_checkpoint  # here, so that no worker of COLMAP's loads torch

        proposed.append(nearest_by_checkpoint(study, photo_ids, reach))
    photo, other, place = np.concatenate(proposed).T
    numbers = np.asarray(photo_ids, dtype=np.int64)
    return np.column_stack([numbers[photo], numbers[other], place])


def search_matches(proposals: np.ndarray, settings: Reconstruction, verify: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
    """The matches of a pile, found in three rounds: among near photos, then far ones, then photos of photos.

    First each photo is matched with its `neighbours` nearest ones. What these join with too few others for a model is matched
    with its `far_neighbours` nearest ones: most such photos show nothing else in the pile, but the others are those that words
    find badly. Last come the pairs of photos that both match a third.
    proposals: as `propose_candidates` gives them; verify: pairs of photo ids, int64 [pairs, 2], the smaller first -> the table
    `candidates` of them. Returns that table of all that was tried.
    """
    near = proposals[:, 2] < settings.neighbours
    matches = verify(_pairs_of(proposals[near]))
    edges = matches.loc[matches.inliers >= settings.min_inliers, ["photo_id", "other_id"]].to_numpy()
    joined = [photos for photos in components(edges) if len(photos) >= settings.min_model_size]
    alone = ~np.isin(proposals[:, 0], np.concatenate([np.zeros(0, np.int64), *joined]))
    matches = verify(_pairs_of(proposals[near | alone]))
    return verify(complete(matches, settings.min_inliers))


def _pairs_of(proposals: np.ndarray) -> np.ndarray:
    """Their pairs, int64 [pairs, 2], the smaller photo_id first, sorted, none twice."""
    return np.unique(np.sort(proposals[:, :2], axis=1), axis=0)


def all_pairs(photo_ids: Sequence[int]) -> np.ndarray:
    """Every pair of the photos, int64 [n (n - 1) / 2, 2], the smaller id first, sorted."""
    return np.array(list(combinations(sorted(photo_ids), 2)), dtype=np.int64).reshape(-1, 2)


def complete(matches: pd.DataFrame, min_inliers: int) -> np.ndarray:
    """The matched pairs, and all pairs of photos that both match a third one: what shows one thing seldom stops at two photos.

    matches: photo_id, other_id, inliers. Returns photo ids, int64 [pairs, 2], the smaller first, sorted, none twice.
    """
    tried = matches[["photo_id", "other_id"]].to_numpy(dtype=np.int64)
    photos, graph = graph_of(tried[(matches.inliers >= min_inliers).to_numpy()])
    graph = graph.tocsr() + graph.T
    through = sparse.triu(graph @ graph, k=1)
    return np.unique(np.concatenate([tried, photos[np.stack([through.row, through.col], axis=1)]]), axis=0)


def draw_vocabulary(database: Path, photo_ids: Sequence[int], words: int, seed: int) -> faiss.IndexIVFFlat:
    """Visual words: SIFT descriptors drawn evenly from the photos, at most a quarter of those there are.

    Fine words beat coarse ones by far where many photos show the same kinds of things (facades), and a word drawn is as good
    as a cluster's centre once there are about as many words as details. Returns the words, in an index that k-means
    divides into cells for a quick search.
    """
    random = np.random.default_rng(seed)
    descriptors = read_descriptors(database, photo_ids)
    words = min(words, sum(map(len, descriptors)) // 4)
    share = words / max(sum(map(len, descriptors)), 1)
    drawn = [random.permutation(each)[: round(share * len(each))] for each in descriptors]
    vocabulary = np.concatenate([np.zeros((0, 128), np.float32), *drawn])
    cells = max(1, min(len(vocabulary) // CELL, int(4 * len(vocabulary) ** 0.5)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(128), 128, cells)
    index.cp.seed, index.cp.niter = seed, 8
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, CELL
    if len(vocabulary):
        index.train(vocabulary)
        index.add(vocabulary)
    index.nprobe = 4
    return index


def bags_of_words(database: Path, photo_ids: Sequence[int], vocabulary: faiss.IndexIVFFlat) -> sparse.csr_array:
    """Bags of visual words, tf-idf weighted, of unit length. Returns float [photos, words].

    Each descriptor counts for its three nearest words: two photos of one detail seldom have the very nearest in common.
    tf enters by its square root, so that a repeated texture does not outweigh all else ("burstiness").
    idf is log(1 + photos / photos with the word): above 0 even where, in a pile of few photos, all have the word.
    """
    if not vocabulary.ntotal:
        return sparse.csr_array((len(photo_ids), 0))
    rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    with tqdm(total=len(photo_ids), desc="visual words", unit="photo") as progress:
        for start in range(0, len(photo_ids), SEARCHED):
            descriptors = read_descriptors(database, photo_ids[start : start + SEARCHED])
            row = np.repeat(np.arange(start, start + len(descriptors)), [len(each) for each in descriptors])
            words = vocabulary.search(np.concatenate(descriptors), 3)[1]
            rows.append(np.repeat(row, 3)[words.ravel() >= 0])
            columns.append(words[words >= 0])
            progress.update(len(descriptors))
    place = (np.concatenate(rows), np.concatenate(columns))
    counts = sparse.coo_array((np.ones(len(place[0])), place), shape=(len(photo_ids), vocabulary.ntotal)).tocsr()
    seen_by = np.bincount(counts.indices, minlength=vocabulary.ntotal)
    weights = counts.sqrt() @ sparse.diags_array(np.log(1 + len(photo_ids) / np.maximum(seen_by, 1)))
    length = np.sqrt(weights.multiply(weights).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(length, 1e-12)) @ weights)


def nearest(vectors: sparse.csr_array, neighbours: int) -> np.ndarray:
    """Each row with its `neighbours` nearest others by inner product, ties to the smaller row. vectors: [n, D].

    Returns int64 [proposals, 3]: a row, another, and the other's place, 0 for the nearest; rows in that order. Rows that have
    nothing in common are not near each other.
    """
    proposed = [np.zeros((0, 3), np.int64)]
    for start in range(0, vectors.shape[0], BLOCK):
        similar = (vectors[start : start + BLOCK] @ vectors.T).toarray()
        own = np.arange(start, start + len(similar))
        similar[own - start, own] = 0
        order = np.argsort(-similar, axis=1, kind="stable")[:, :neighbours]
        query, place = np.nonzero(np.take_along_axis(similar, order, axis=1) > 0)
        proposed.append(np.stack([own[query], order[query, place], place], axis=1))
    return np.concatenate(proposed)
