"""Checkpoints without pickles: weights as safetensors, and what they are as JSON next to them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import Network
from bcdh_lib.training.network import HashNetwork


def save_checkpoint(path: Path, network: HashNetwork, facts: dict[str, Any]) -> None:
    """Write weights as `path` (.safetensors) and facts about them as .json next to it, each atomically."""
    facts = {"network": network.settings.model_dump(), "bits": network.bits, "torch": torch.__version__.split("+")[0]} | facts
    write_tensors(path, network.state_dict())
    facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_bytes(path.with_suffix(".json"), (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def load_checkpoint(path: Path) -> tuple[HashNetwork, dict[str, Any]]:
    """The network of a checkpoint (.safetensors with its .json), ready to encode, and its facts. Raises StudyError."""
    try:
        content = path.read_bytes()  # safetensors itself refuses paths that are not UTF-8
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        network = HashNetwork(Network.model_validate(facts["network"]), facts["bits"], pretrained=False)
        network.load_state_dict(load(content))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = one_line(error)
        raise StudyError(f"{path}: is no checkpoint with its .json ({reason}); name one, or make it with: dvc repro") from None
    if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
        raise StudyError(f"{path}: its bytes are not those that {path.with_suffix('.json').name} describes; train it again")
    return network.eval(), facts


def write_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write named tensors, and notes as the file's metadata, as safetensors, atomically."""
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, notes))
