"""Photos -> candidate pairs: which pairs are worth matching, found by the SIFT words that photos share."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import scipy.sparse as sparse
from tqdm.auto import tqdm

from bcdh_lib.params import Reconstruction
from bcdh_lib.reconstruction.features import count_features, read_descriptors
from bcdh_lib.reconstruction.graph import components, graph_of, verified_pairs
from bcdh_lib.study import Study

WORDS_A_CELL = 32  # at least, in the vocabulary. A search opens a few cells and skips the others
PHOTOS_AT_ONCE = 64  # whose descriptors are in memory; their bags of words are a block
BLOCKS_AT_ONCE = 64  # whose similarities to another block are in memory
WORTHWHILE = 0.01  # share of a round's new pairs that must be verified for the search to go on to photos further away


def propose_candidates(study: Study, database: Path, photo_ids: Sequence[int]) -> np.ndarray:
    """The nearest photos of each photo by SIFT words, or all pairs (to compare the words with): reconstruction.candidates.

    Returns int64 [proposals, 3]: a photo's id, another photo's id, and the other's rank among the nearest, 0 for the nearest.
    """
    settings = study.params.reconstruction
    if settings.candidates == "exhaustive":
        pairs = all_pairs(photo_ids)
        return np.column_stack([pairs, np.zeros(len(pairs), np.int64)])
    vocabulary = draw_vocabulary(database, photo_ids, settings.words, study.params.run.seed)
    with tempfile.TemporaryDirectory(dir=database.parent, prefix="words-") as folder:
        bags = bags_of_words(database, photo_ids, vocabulary, Path(folder))
        photo, other, rank = nearest(bags, max(settings.neighbours, settings.far_neighbours)).T
    numbers = np.asarray(photo_ids, dtype=np.int64)
    return np.column_stack([numbers[photo], numbers[other], rank])


def search_matches(proposals: np.ndarray, settings: Reconstruction, verify: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
    """The matches of a collection: each photo's near ones, then further ones while that pays, then the matches of matches.

    First each photo is matched with its `neighbours` nearest ones. Photos that are then connected with too few others for a model
    are matched with the next `neighbours` ones, and so on up to `far_neighbours`, as long as at least a share WORTHWHILE of a
    round's new pairs is verified. Last, pairs of photos that both match a third one are tried.

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

    With about as many words as details, a drawn word is as good as the centre of a cluster. Returns an index of the words, which
    k-means divides into cells, so that a search is fast.
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


def bags_of_words(
    database: Path, photo_ids: Sequence[int], vocabulary: faiss.IndexIVFFlat, folder: Path
) -> list[sparse.csr_array]:
    """Bags of visual words, weighted by tf-idf, of unit length, float32 [photos, words]: PHOTOS_AT_ONCE in each, in order.

    Each descriptor counts for its three nearest words: the nearest words of one detail in two photos are often different.
    The square root of tf is taken, so that a repeated texture does not outweigh everything else ("burstiness").
    idf is log(1 + photos / photos with the word), so it is above 0 even for a word that all photos have.
    The bags (about 50 kB a photo) are in files of `folder`, mapped into memory.
    """
    bags: list[sparse.csr_array] = []
    seen_by = np.zeros(vocabulary.ntotal, np.int64)
    with tqdm(total=len(photo_ids), desc="visual words", unit="photo") as progress:
        for descriptors in _read_in_blocks(database, photo_ids if vocabulary.ntotal else []):
            row = np.repeat(np.arange(len(descriptors), dtype=np.int32), [3 * len(each) for each in descriptors])
            words = vocabulary.search(np.concatenate(descriptors).astype(np.float32), 3)[1].ravel().astype(np.int32)
            found, shape = words >= 0, (len(descriptors), vocabulary.ntotal)
            bag = sparse.coo_array((np.ones(found.sum(), np.float32), (row[found], words[found])), shape=shape).tocsr()
            seen_by += np.bincount(bag.indices, minlength=vocabulary.ntotal)
            for part in ("data", "indices"):
                np.save(folder / f"{part}-{len(bags)}.npy", getattr(bag, part))
                setattr(bag, part, np.load(folder / f"{part}-{len(bags)}.npy", mmap_mode="r+"))
            bags.append(bag)
            progress.update(len(descriptors))
    idf = np.log(1 + len(photo_ids) / np.maximum(seen_by, 1))
    for bag in bags:
        weights = np.sqrt(bag.data) * idf[bag.indices].astype(np.float32)
        row = np.repeat(np.arange(bag.shape[0]), np.diff(bag.indptr))
        length = np.sqrt(np.bincount(row, weights.astype(np.float64) ** 2, minlength=bag.shape[0]))
        bag.data[:] = weights / length[row].astype(np.float32)
    return bags


def nearest(vectors: Sequence[sparse.csr_array], neighbours: int) -> np.ndarray:
    """The `neighbours` nearest other rows of each row by inner product, ties to the smaller row. vectors: [n, D], in blocks.

    Returns int64 [proposals, 3]: a row, another row, and the other's rank, 0 for the nearest; rows in that order. Rows that have
    nothing in common are not proposed.
    """
    starts = np.cumsum([0, *(block.shape[0] for block in vectors)])
    proposed = [np.zeros((0, 3), np.int64)]
    for first in range(0, len(vectors), BLOCKS_AT_ONCE):
        rows = sparse.vstack(vectors[first : first + BLOCKS_AT_ONCE], format="csr")
        own = np.arange(starts[first], starts[first] + rows.shape[0])
        best, other = np.zeros((len(own), 0), np.float32), np.zeros((len(own), 0), np.int64)
        for start, block in zip(starts, vectors, strict=False):
            columns = np.arange(start, start + block.shape[0])
            similar = np.where(own[:, None] == columns, 0, (rows @ block.T).toarray())
            best, other = np.hstack([best, similar]), np.hstack([other, np.broadcast_to(columns, similar.shape)])
            order = np.argsort(-best, axis=1, kind="stable")[:, :neighbours]  # equal ones stay in the order of their rows
            best, other = np.take_along_axis(best, order, axis=1), np.take_along_axis(other, order, axis=1)
        row, rank = np.nonzero(best > 0)
        proposed.append(np.stack([own[row], other[row, rank], rank], axis=1))
    return np.concatenate(proposed)
