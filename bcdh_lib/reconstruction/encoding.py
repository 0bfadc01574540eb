"""Photos -> a trained network's outputs, and each photo's nearest ones by them: candidates that learned codes propose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bcdh_lib.core.codes import make_index, pack, search
from bcdh_lib.core.errors import StudyError
from bcdh_lib.reconstruction.candidate_checkpoint import checkpoint_files
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.views import Views

BATCH = 32  # photos encoded at a time
BLOCK = 256  # photos whose similarities to all others are in memory at once


def nearest_by_checkpoint(study: Study, photo_ids: Sequence[int], neighbours: int) -> np.ndarray:
    """`nearest` of the photos' codes, or of a float checkpoint's vectors. Raises StudyError."""
    network = load_network(checkpoint_files(study)[0])
    if len(photo_ids) < 2:
        return np.zeros((0, 3), np.int64)
    outputs = encode(network, [study.image(photo) for photo in photo_ids], study.params.run.threads)
    return nearest(outputs if network.bits is None else pack(outputs), neighbours)


def load_network(checkpoint: Path) -> HashNetwork:
    """The checkpoint's network, ready to encode. Raises StudyError where the file is no checkpoint."""
    try:
        return load_checkpoint(checkpoint)[0]
    except StudyError as error:
        reason = str(error).removeprefix(f"{checkpoint}: ").partition("; train it anew")[0]
        raise StudyError(
            f"reconstruction.checkpoint: {checkpoint}: {reason}; name a checkpoint that a study's training wrote"
        ) from None


def encode(network: HashNetwork, images: Sequence[Path], threads: int) -> np.ndarray:
    """Outputs float32 [n, L] of photos, on the CPU as COLMAP's steps: what is proposed hangs on no GPU."""
    torch.set_num_threads(threads)
    views = Views(images, network.settings.side)
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in views.batches(BATCH, threads, "codes")]).numpy()


def nearest(vectors: np.ndarray, neighbours: int) -> np.ndarray:
    """Each row with its `neighbours` nearest others, ties to the smaller row: codes (uint8 [n, L/8]) by Hamming distance, float
    vectors [n, D] by inner product.

    Returns int64 [proposals, 3]: a row, another, and the other's place, 0 for the nearest; rows in that order.
    """
    own = np.arange(len(vectors))[:, None]
    rows = _search(vectors, min(neighbours + 1, len(vectors)))
    # A row finds itself, unless many equal ones of smaller number come first: then the last is left out instead.
    others = np.take_along_axis(rows, np.argsort(rows == own, axis=1, kind="stable"), axis=1)[:, :-1]
    place = np.broadcast_to(np.arange(others.shape[1]), others.shape)
    return np.stack([np.broadcast_to(own, others.shape), others, place], axis=-1).reshape(-1, 3).astype(np.int64)


def _search(vectors: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows of each, itself among them, int64 [n, k]."""
    if vectors.dtype == np.uint8:
        return search(make_index(vectors), vectors, k)[1]
    # Not by faiss: of equal products at the last place its flat index of vectors takes any.
    blocks = (vectors[start : start + BLOCK] @ vectors.T for start in range(0, len(vectors), BLOCK))
    return np.concatenate([np.argsort(-similar, axis=1, kind="stable")[:, :k] for similar in blocks])
