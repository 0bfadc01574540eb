"""Photos as vectors without any network: SIFT features as a bag of visual words, or as VLAD.

Descriptors are those of bcdh_lib.reconstruction.features, uint8 or float32 [n, 128]: COLMAP's, which are RootSIFT already
(Arandjelovic and Zisserman, CVPR 2012: L1-normalised, then the square root), times 512 and rounded. The scale changes no vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pycolmap
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.database import colmap
from bcdh_lib.retrieval.scales import unit
from bcdh_lib.training.views import Box, Views

Floats = NDArray[np.float32]
Descriptors = NDArray[np.float32] | NDArray[np.uint8]


def sift_of(path: Path, max_features: int, box: Box | None = None) -> Floats:
    """SIFT descriptors [n, 128] of a photo, cut to its box first, as the network's views are; n may be 0. Raises StudyError.

    COLMAP keeps the largest features: up to `max_features` of them, and where one has two orientations it counts for two.
    """
    photo = Views([path], side=1, boxes=[box]).photo(0)  # in full size: only views are scaled to `side`
    with colmap(f"extracting the features of {path}"):
        grey = pycolmap.Bitmap.from_array(photo.permute(1, 2, 0).contiguous().numpy()).clone_as_grey()
        _, descriptors = _extractor(max_features).extract(grey)
    return descriptors.data.reshape(-1, 128).astype(np.float32)


@cache
def _extractor(max_features: int) -> pycolmap.FeatureExtractor:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads, options.use_gpu = 1, False
    options.sift.max_num_features = max_features
    return pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)


def learn_vocabulary(descriptors: Sequence[Descriptors], words: int, seed: int) -> Floats:
    """Visual words [words, d]: k-means centres (faiss) of the training photos' descriptors [n_i, d], on one thread.

    faiss draws at most 256 descriptors a word. Raises StudyError where there are fewer descriptors than words.
    """
    stacked = np.concatenate(descriptors) if len(descriptors) else np.zeros((0, 128), np.float32)
    if len(stacked) < words:
        raise StudyError(f"{words} visual words need as many descriptors, the training photos have {len(stacked)}")
    kmeans = faiss.Kmeans(stacked.shape[1], words, niter=20, seed=seed, min_points_per_centroid=1)
    faiss.omp_set_num_threads(1)  # as in itq.py
    kmeans.train(np.ascontiguousarray(stacked, dtype=np.float32))
    return np.array(kmeans.centroids)


def assign(descriptors: Descriptors, centres: Floats) -> NDArray[np.int64]:
    """The nearest word of each descriptor, int64 [n]."""
    if not len(descriptors):
        return np.zeros(0, np.int64)
    faiss.omp_set_num_threads(1)  # as in itq.py
    return faiss.knn(np.ascontiguousarray(descriptors, dtype=np.float32), centres, 1)[1][:, 0]


def vlad(descriptors: Descriptors, centres: Floats) -> Floats:
    """Vector of locally aggregated descriptors, a unit vector [words * d]; zeros for a photo without features.

    Residuals to the nearest word are summed a word (Jegou et al., CVPR 2010), each word's sum is scaled to unit length
    (Arandjelovic and Zisserman, CVPR 2013, "intra-normalisation"), signed square roots are taken (Jegou et al., PAMI 2012).
    """
    words = assign(descriptors, centres)
    sums = np.zeros(centres.shape, dtype=np.float64)
    np.add.at(sums, words, descriptors - centres[words])
    residuals = unit(sums)
    rooted = np.sign(residuals) * np.sqrt(np.abs(residuals))
    return unit(rooted.ravel())


def inverse_document_frequency(training: Sequence[Descriptors], centres: Floats) -> NDArray[np.float64]:
    """log(photos / photos that show the word), [words]; a word that no training photo shows counts as shown by one."""
    showing = (_count_words(training, centres) > 0).sum(0)
    return np.log(max(len(training), 1) / np.maximum(showing, 1))


def bag_of_words(descriptors: Sequence[Descriptors], centres: Floats, idf: NDArray[np.float64]) -> Floats:
    """tf-idf unit vectors [photos, words] (Sivic and Zisserman, ICCV 2003); zeros for photos without a word that weighs."""
    return unit(_count_words(descriptors, centres) * idf)


def _count_words(descriptors: Sequence[Descriptors], centres: Floats) -> NDArray[np.int64]:
    counts = [np.bincount(assign(each, centres), minlength=len(centres)) for each in descriptors]
    return np.array(counts, dtype=np.int64).reshape(-1, len(centres))
