"""The default network's files: how they are made from a study's float baseline, and read.

model.safetensors, .json   the network with its longest codes; "settings" in the .json are the study's
learning.safetensors       what own learning starts from: the hash layers of every length, and the study's photos as the mean
                           and the principal components of their vectors
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import read_json, write_bytes
from bcdh_lib.core.settings import first_fault
from bcdh_lib.params import Params, Photos
from bcdh_lib.training.checkpoint import load_checkpoint, write_tensors
from bcdh_lib.training.hash_layer import assemble, train_hash_layer
from bcdh_lib.training.network import HashLayer, HashNetwork
from bcdh_lib.training.training_set import TrainingSet

FOLDER = Path(__file__).parent
METHOD, BITS = "binary_constrained", (128, 64)
"""The loss and the code lengths of the hash layers; model.safetensors has the first."""
PARTS = {"weight": "linear.weight", "running_mean": "norm.running_mean", "running_var": "norm.running_var"}
"""Of a hash layer: their names in learning.safetensors, after the code length, and in the layer."""
COMPONENTS = 256
"""Principal components kept, and those that own learning sees; the variance of the others is shared equally among them."""


@dataclass(frozen=True, eq=False)
class DefaultNetwork:
    """What own learning starts from."""

    baseline: HashNetwork  # the float baseline: its outputs are the vectors that hash layers encode
    layers: dict[int, HashLayer]  # by code length
    mean: NDArray[np.float32]  # of the vectors of the study's photos, [d]
    covariance: NDArray[np.float32]  # of the same, [d, d]; its trace is 1
    sha256: str  # of model.safetensors


def default_model(folder: Path = FOLDER) -> Path:
    """The checkpoint of the default network. Raises StudyError if the package has none."""
    path = folder / "model.safetensors"
    if not path.is_file():
        raise StudyError(
            f"{path}: there is no default network; pass --model CHECKPOINT, "
            "or make one in a study with: python -m bcdh_lib.search.default_network"
        )
    return path


def default_settings(folder: Path = FOLDER) -> Params:
    """The settings of the study that the default network is from. Raises StudyError."""
    path = default_model(folder).with_suffix(".json")
    try:
        return Params.model_validate(read_json(path).get("settings"))
    except ValidationError as error:
        raise StudyError(f"{path}: settings.{first_fault(error)}; make the default network again") from None


def photos_in(checkpoint: Path) -> Photos | None:
    """The settings `photos` that the facts of a checkpoint hold, None if they hold no settings. Raises StudyError."""
    path = checkpoint.with_suffix(".json")
    try:
        settings = read_json(path).get("settings")
        return None if settings is None else Photos.model_validate(dict(settings).get("photos"))
    except (OSError, TypeError, ValueError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else one_line(error)
        raise StudyError(f"{path}: settings.photos.{fault}; make the network again") from None


def default_network(folder: Path = FOLDER) -> DefaultNetwork:
    """The default network, ready to learn from. Raises StudyError."""
    network, facts = load_checkpoint(default_model(folder))
    path = folder / "learning.safetensors"
    try:
        if _sha256(path) != facts["learning_sha256"]:
            raise ValueError("its bytes are not those that model.json describes")
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        lengths = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
        layers = {int(bits): HashLayer.of(*(tensors[f"{bits}.{part}"] for part in PARTS)) for bits in lengths}
        basis, variances, mean = (tensors[name].numpy() for name in ("basis", "variances", "mean"))
        rest = (1 - variances.sum()) / (len(mean) - len(variances))
        covariance = basis.T * (variances - rest) @ basis + rest * np.eye(len(mean), dtype=np.float32)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); make the default network again") from None
    network.hash_layer = network.bits = None
    return DefaultNetwork(network, layers, mean, covariance, str(facts["sha256"]))


def pack_network(baseline: Path, vectors: TrainingSet, params: Params, folder: Path = FOLDER) -> Path:
    """Make a float baseline the default network, with hash layers that are trained here (seconds) on its vectors.

    Matrices and kernels are in half precision. Raises StudyError.
    """
    network, facts = load_checkpoint(baseline)
    if network.bits is not None:
        raise StudyError(f"{baseline}: has a hash layer; name the float baseline that the vectors are of")
    learning = _statistics(vectors.vectors)
    for bits in BITS:
        layer, _ = train_hash_layer(vectors, params, METHOD, bits, params.run.seed)
        state = layer.state_dict()
        learning |= {f"{bits}.{part}": state[name] for part, name in PARTS.items()}
        if bits == BITS[0]:
            whole = assemble(network, layer)
    settings = params.model_dump(mode="json")
    settings["photos"] |= {"source": "rendered", "folder": None}
    for name, tensors in (("learning", learning), ("model", whole.state_dict())):
        halved = {key: each.half() if each.ndim > 1 else each for key, each in tensors.items()}
        if not all(torch.isfinite(each).all() for each in halved.values()):
            raise StudyError(f"{baseline}: a weight does not fit half precision; name another checkpoint")
        write_tensors(folder / f"{name}.safetensors", halved)
    made = {"network": network.settings.model_dump(), "bits": BITS[0], "method": METHOD, "settings": settings}
    digests = {"sha256": _sha256(folder / "model.safetensors"), "learning_sha256": _sha256(folder / "learning.safetensors")}
    facts = {"torch": facts.get("torch"), "baseline": facts["sha256"]} | made | digests
    write_bytes(folder / "model.json", (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())
    return folder


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _statistics(vectors: NDArray[np.float32]) -> dict[str, Tensor]:
    """Mean and principal components of vectors [n, d]; variances are shares of the whole."""
    mean = vectors.mean(0)
    _, spread, basis = np.linalg.svd(vectors - mean, full_matrices=False)
    variances = (spread**2 / (spread**2).sum())[:COMPONENTS]
    return {"mean": torch.tensor(mean), "variances": torch.tensor(variances), "basis": torch.tensor(basis[:COMPONENTS])}
