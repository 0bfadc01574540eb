"""Vectors that no training precedes: the pretrained network's, plain or whitened, and SIFT's, as VLAD or a bag of words.

`pretrained` and `whitened` are the systems of these names in retrieval/score.py. They have no seed: every seed gets the same
vectors, so that each is compared with the runs of all seeds, and a coder that draws (LSH, ITQ) draws anew. SIFT's vocabulary is
drawn from the training photos with the seed. Descriptors, which need none, are kept in work/study/sift for all seeds and shares.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bcdh_lib.comparison.cells import Cell, Unit
from bcdh_lib.comparison.outputs import Kept, OfPhotos, Outputs, outputs_of
from bcdh_lib.comparison.pair_supply import Supply
from bcdh_lib.comparison.provenance import digest_of, digest_of_pairs
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.settings import Positive, Section
from bcdh_lib.core.tables import read_table
from bcdh_lib.retrieval.benchmarks import Benchmark
from bcdh_lib.retrieval.score import PRETRAINED, WHITENED, parts_of
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.retrieval.sift_vectors import Descriptors, bag_of_words, inverse_document_frequency, learn_vocabulary, sift_of, vlad
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import TrainingSet, device, settle
from bcdh_lib.training.views import Box, Views

SIFT_VLAD, SIFT_BOW = "sift_vlad", "sift_bow"
CODERS: dict[str, Sequence[str]] = {
    PRETRAINED: list(SHALLOW),
    WHITENED: list(SHALLOW),
    SIFT_VLAD: ["itq"],
    SIFT_BOW: ["itq"],
}
"""The vectors, and the shallow codes that are fitted to each."""

BLOCK = 32
"""Photos that a process extracts the features of at a time."""


class Words(Section):
    """Visual words, of study.yaml."""

    sift_vlad: Positive
    sift_bow: Positive


@dataclass(frozen=True)
class Material:
    """What vectors are made from; each but the benchmarks is made when it is first asked for, and once for all seeds."""

    benchmarks: list[Benchmark]
    training_set: Callable[[], TrainingSet]
    supplied: Callable[[Supply, int], TrainingSet]  # its pairs from elsewhere, by seed
    parent: Callable[[int], HashNetwork]  # the float parent, by seed
    kept: Callable[[], list[Kept]]
    network_vectors: Callable[[str], Outputs]
    descriptors: Callable[[], OfPhotos[list[Descriptors]]]


def untrained_units(study: Study, bits: Sequence[int], seed: int) -> list[Unit]:
    """The cells of one seed, a unit a kind of vector; without network.whitening none is whitened."""
    methods = [method for method in CODERS if method != WHITENED or study.params.network.whitening is not None]
    return [
        Unit(
            Cell(method, None, seed),
            tuple(Cell(f"{method}_{coder}", length, seed, coder) for coder in CODERS[method] for length in bits),
        )
        for method in methods
    ]


def untrained_made_with(study: Study, method: str, seed: int, words: Words) -> dict[str, Any]:
    """What decides the vectors of a method."""
    vectors: dict[str, Any] = {"method": method, "seed": seed}
    if method in Words.model_fields:
        vectors |= {"words": getattr(words, method), "max_features": study.params.reconstruction.max_features}
    else:
        vectors |= {"network": study.params.network.model_dump()}
    return {
        "vectors": vectors,
        "code": code_digest(__name__),
        "pairs": digest_of_pairs(study),
    }


def untrained_vectors(method: str, seed: int, words: Words, material: Material) -> Outputs:
    """The vectors of a method, unit vectors (zeros for a photo without SIFT features)."""
    if method in Words.model_fields:
        return sift_vectors(method, material.descriptors(), getattr(words, method), seed)
    return material.network_vectors(method)


def network_vectors(study: Study, method: str, training_set: TrainingSet, kept: Sequence[Kept]) -> Outputs:
    """The pretrained network's vectors, plain or whitened by what the similar pairs teach."""
    network = HashNetwork(study.params.network, bits=None).to(device()).eval()
    if method == WHITENED:
        settle(network, training_set)
    return outputs_of(network, training_set, kept)


def sift_vectors(method: str, descriptors: OfPhotos[list[Descriptors]], words: int, seed: int) -> Outputs:
    """VLAD, [n, words * 128], or bags of words, [n, words]; vocabulary and word weights are the training photos'."""
    centres = learn_vocabulary(descriptors.training, words, seed)
    if method == SIFT_VLAD:
        return descriptors.map(lambda photos: np.array([vlad(each, centres) for each in photos]).reshape(-1, centres.size))
    idf = inverse_document_frequency(descriptors.training, centres)
    return descriptors.map(lambda photos: bag_of_words(photos, centres, idf))


def read_descriptors(study: Study, benchmarks: Sequence[Benchmark]) -> OfPhotos[list[Descriptors]]:
    """SIFT descriptors of the training photos and of the benchmarks, queries cut to their boxes.

    Raises StudyError, and StudyError where COLMAP fails.
    """
    members = read_table(study.pairs, "members")
    paths = [study.image(photo) for photo in members.loc[members["split"] == "train", "photo_id"]]
    views = OfPhotos(Views(paths, study.params.network.side), [parts_of(study, each) for each in benchmarks])
    return views.map(partial(descriptors_of, study))


def descriptors_of(study: Study, views: Views) -> list[Descriptors]:
    """SIFT descriptors uint8 [features, 128] of each photo, cut to its box; kept in work/study/sift by the photos' contents."""
    boxes = list(views.boxes or [None] * len(views))
    most = study.params.reconstruction.max_features
    path = (
        sift_folder(study) / f"{digest_of(views.paths, repr((boxes, most)), code_digest('bcdh_lib.retrieval.sift_vectors'))}.npz"
    )
    if not path.is_file():
        photos = list(zip(views.paths, boxes, strict=True))
        blocks = [photos[start : start + BLOCK] for start in range(0, len(photos), BLOCK)]
        numbered = dict(
            tqdm(
                side_by_side(partial(_extract, most), list(enumerate(blocks)), study.params.run.threads),
                desc="SIFT features",
                unit=f"{BLOCK} photos",
                total=len(blocks),
            )
        )
        descriptors = [each for number in sorted(numbered) for each in numbered[number]]
        buffer = io.BytesIO()
        stacked = np.concatenate([np.zeros((0, 128), np.uint8), *descriptors])
        np.savez(buffer, descriptors=stacked, counts=np.array([len(each) for each in descriptors], dtype=np.int64))
        write_bytes(path, buffer.getvalue())
    with np.load(path, allow_pickle=False) as kept:
        return np.split(kept["descriptors"], np.cumsum(kept["counts"])[:-1]) if len(views) else []


def _extract(most: int, job: tuple[int, list[tuple[Path, Box | None]]]) -> tuple[int, list[Descriptors]]:
    """The number of a block of photos, and the descriptors of each; they are whole numbers below 256."""
    number, photos = job
    return number, [sift_of(path, most, box).astype(np.uint8) for path, box in photos]


def sift_folder(study: Study) -> Path:
    """Where descriptors are kept until the comparison is finished."""
    return study.root / "work/study/sift"


def forget_descriptors(study: Study) -> None:
    """Drop the descriptors, once every cell that needs them is written."""
    shutil.rmtree(sift_folder(study), ignore_errors=True)
