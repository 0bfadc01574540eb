"""Photos -> candidate pairs: which pairs are worth matching, found by the SIFT words that photos share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import scipy.sparse as sparse
from tqdm import tqdm

from bcdh_lib.params import Reconstruction
from bcdh_lib.reconstruction.features import count_features, read_descriptors
from bcdh_lib.reconstruction.graph import components, graph_of, verified_pairs
from bcdh_lib.study import Study

WORDS_A_CELL = 32  # at least, in the vocabulary. A search opens a few cells and skips the others
PHOTOS_AT_ONCE = 64  # whose descriptors, or similarities to all others, are in memory
WORTHWHILE = 0.01  # share of a round's new pairs that must be verified for the search to go on to photos further away


def propose_candidates(study: Study, database: Path, photo_ids: Sequence[int]) -> np.ndarray:
    """The nearest photos of each photo: `far_neighbours` or `neighbours` of them, whichever is more.

    reconstruction.candidates is `words` (bags of SIFT words) or `exhaustive` (all pairs, to compare the words with).
    Returns int64 [proposals, 3]: a photo's id, another photo's id, and the other's rank among the nearest, 0 for the nearest.
    """
    settings = study.params.reconstruction
    if settings.candidates == "exhaustive":
        pairs = all_pairs(photo_ids)
        return np.column_stack([pairs, np.zeros(len(pairs), np.int64)])
    bags = bags_of_words(database, photo_ids, draw_vocabulary(database, photo_ids, settings.words, study.params.run.seed))
    photo, other, rank = nearest(bags, max(settings.neighbours, settings.far_neighbours)).T
    numbers = np.asarray(photo_ids, dtype=np.int64)
    return np.column_stack([numbers[photo], numbers[other], rank])


def search_matches(proposals: np.ndarray, settings: Reconstruction, verify: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
    """The matches of a collection: each photo's near ones, then further ones while that pays, then the matches of matches.

    First each photo is matched with its `neighbours` nearest ones. Photos that are then connected with too few others for a model
    are matched with the next `neighbours` ones, and so on up to `far_neighbours`, as long as at least a share WORTHWHILE of a
    round's new pairs is verified. Words rank some matching photos low, but most photos without a match show nothing else in the
    collection. Last, pairs of photos that both match a third one are tried.

    proposals: as `propose_candidates` returns them; verify: pairs of photo ids, int64 [pairs, 2], the smaller first -> the table
    `candidates` of them. Returns that table for all pairs tried.
    """
    photo, _, rank = proposals.T
    pairs, wanted = np.sort(proposals[:, :2], axis=1), rank < settings.neighbours
    matches = verify(np.unique(pairs[wanted], axis=0))
    for reach in range(2 * settings.neighbours, settings.far_neighbours + settings.neighbours, settings.neighbours):
        edges = verified_pairs(matches, settings.min_inliers)
        joined = [photos for photos in components(edges) if len(photos) >= settings.min_model_size]
        alone = ~np.isin(photo, np.concatenate([np.zeros(0, np.int64), *joined]))
        wanted |= alone & (rank < min(reach, settings.far_neighbours))
        further = verify(np.unique(pairs[wanted], axis=0))
        tried, verified = len(further) - len(matches), len(verified_pairs(further, settings.min_inliers)) - len(edges)
        matches = further
        if verified < WORTHWHILE * tried or not tried:
            break
    return verify(complete(matches, settings.min_inliers))


def all_pairs(photo_ids: Sequence[int]) -> np.ndarray:
    """Every pair of the photos, int64 [n (n - 1) / 2, 2], the smaller id first, sorted."""
    return np.array(list(combinations(sorted(photo_ids), 2)), dtype=np.int64).reshape(-1, 2)


def complete(matches: pd.DataFrame, min_inliers: int) -> np.ndarray:
    """The matched pairs, and all pairs of photos that both match a third one: these often show the same thing.

    matches: photo_id, other_id, inliers. Returns photo ids, int64 [pairs, 2], the smaller first, sorted, without duplicates.
    """
    photos, graph = graph_of(verified_pairs(matches, min_inliers))
    graph = graph.tocsr() + graph.T
    through = sparse.triu(graph @ graph, k=1)
    ends = photos[np.stack([through.row, through.col], axis=1)]
    return np.unique(np.concatenate([verified_pairs(matches, 0), ends]), axis=0)


def draw_vocabulary(database: Path, photo_ids: Sequence[int], words: int, seed: int) -> faiss.IndexIVFFlat:
    """Visual words: SIFT descriptors drawn evenly from the photos, at most a quarter of all descriptors.

    If many photos show similar things (facades), fine words are far better than coarse ones. With about as many words as
    details, a drawn word is as good as the centre of a cluster. Returns an index of the words. k-means divides it into cells, so
    that a search is fast.
    """
    random = np.random.default_rng(seed)
    total = int(count_features(database).reindex(photo_ids, fill_value=0).sum())
    share = min(words, total // 4) / max(total, 1)
    drawn = [np.zeros((0, 128), np.uint8)]
    for descriptors in _read_in_blocks(database, photo_ids):
        drawn += [random.permutation(each)[: round(share * len(each))] for each in descriptors]
    vocabulary = np.concatenate(drawn).astype(np.float32)
    cells = max(1, min(len(vocabulary) // WORDS_A_CELL, int(4 * len(vocabulary) ** 0.5)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(128), 128, cells)
    index.cp.seed, index.cp.niter = seed, 8
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, WORDS_A_CELL
    if len(vocabulary):
        index.train(vocabulary)
        index.add(vocabulary)
    index.nprobe = 4
    return index


def _read_in_blocks(database: Path, photo_ids: Sequence[int]) -> Iterator[list[np.ndarray]]:
    """The descriptors of some photos at a time, uint8 [features, 128] each."""
    for start in range(0, len(photo_ids), PHOTOS_AT_ONCE):
        yield read_descriptors(database, photo_ids[start : start + PHOTOS_AT_ONCE])


def bags_of_words(database: Path, photo_ids: Sequence[int], vocabulary: faiss.IndexIVFFlat) -> sparse.csr_array:
    """Bags of visual words, weighted by tf-idf, of unit length. Returns float32 [photos, words].

    Each descriptor counts for its three nearest words: the nearest words of one detail in two photos are often different.
    The square root of tf is taken, so that a repeated texture does not outweigh everything else ("burstiness").
    idf is log(1 + photos / photos with the word), so it is above 0 even for a word that all photos have.
    """
    bags = [sparse.csr_array((0, vocabulary.ntotal), dtype=np.float32)]
    with tqdm(total=len(photo_ids), desc="visual words", unit="photo") as progress:
        for descriptors in _read_in_blocks(database, photo_ids if vocabulary.ntotal else []):
            row = np.repeat(np.arange(len(descriptors), dtype=np.int32), [3 * len(each) for each in descriptors])
            words = vocabulary.search(np.concatenate(descriptors).astype(np.float32), 3)[1].ravel().astype(np.int32)
            found, shape = words >= 0, (len(descriptors), vocabulary.ntotal)
            bags.append(sparse.coo_array((np.ones(found.sum(), np.float32), (row[found], words[found])), shape=shape).tocsr())
            progress.update(len(descriptors))
    counts = sparse.csr_array(sparse.vstack(bags))
    seen_by = np.bincount(counts.indices, minlength=vocabulary.ntotal)
    idf = np.log(1 + len(photo_ids) / np.maximum(seen_by, 1))
    counts.data = np.sqrt(counts.data) * idf[counts.indices].astype(np.float32)
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    length = np.sqrt(np.bincount(row, counts.data.astype(np.float64) ** 2, minlength=counts.shape[0]))
    counts.data /= length[row].astype(np.float32)
    return counts


def nearest(vectors: sparse.csr_array, neighbours: int) -> np.ndarray:
    """The `neighbours` nearest other rows of each row by inner product, ties to the smaller row. vectors: [n, D].

    Returns int64 [proposals, 3]: a row, another row, and the other's rank, 0 for the nearest; rows in that order. Rows that have
    nothing in common are not proposed.
    """
    proposed = [np.zeros((0, 3), np.int64)]
    for start in range(0, vectors.shape[0], PHOTOS_AT_ONCE):
        similar = (vectors[start : start + PHOTOS_AT_ONCE] @ vectors.T).toarray()
        own = np.arange(start, start + len(similar))
        similar[own - start, own] = 0
        order = np.argsort(-similar, axis=1, kind="stable")[:, :neighbours]
        row, rank = np.nonzero(np.take_along_axis(similar, order, axis=1) > 0)
        proposed.append(np.stack([own[row], order[row, rank], rank], axis=1))
    return np.concatenate(proposed)
