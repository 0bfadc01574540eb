"""The default network's files, and how they are made from a study's checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from pydantic import ValidationError

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_json, write_bytes
from bcdh_lib.core.settings import first_fault
from bcdh_lib.params import Photos
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.checkpoint import load_checkpoint, write_tensors

FOLDER = Path(__file__).parent


def default_model(folder: Path = FOLDER) -> Path:
    """The checkpoint of the default network. Raises StudyError if the package has none."""
    path = folder / "model.safetensors"
    if not path.is_file():
        raise StudyError(
            f"{path}: there is no default network; pass --model CHECKPOINT, "
            "or make one with: python -m bcdh_lib.search.default_network CHECKPOINT"
        )
    return path


def default_photos(folder: Path = FOLDER) -> Photos:
    """The settings `photos` of the study that the default network is from. Raises StudyError."""
    facts = read_json(default_model(folder).with_suffix(".json"))
    try:
        return Photos.model_validate(facts.get("photos"))
    except ValidationError as error:
        raise StudyError(f"{folder / 'model.json'}: photos.{first_fault(error)}; make the default network again") from None


def pack_network(checkpoint: Path, folder: Path = FOLDER) -> Path:
    """Make a study's checkpoint the default network: its matrices and kernels in half precision (7 MB), with the study's
    settings `photos`. Raises StudyError.
    """
    network, facts = load_checkpoint(checkpoint)
    if network.bits is None:
        raise StudyError(f"{checkpoint}: gives real vectors, no codes; name a checkpoint with bits")
    settings = open_study(root=find_root(checkpoint.resolve().parent)).params.photos
    weights = {name: each.half() if each.ndim > 1 else each for name, each in network.state_dict().items()}
    if not all(torch.isfinite(each).all() for each in weights.values()):
        raise StudyError(f"{checkpoint}: a weight does not fit half precision; name another checkpoint")
    path = folder / "model.safetensors"
    write_tensors(path, weights)
    facts |= {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "photos": settings.model_dump() | {"source": "rendered", "folder": None},
    }
    write_bytes(path.with_suffix(".json"), (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())
    return path
