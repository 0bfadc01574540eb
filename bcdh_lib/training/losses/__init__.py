"""Losses on pairs of network outputs, one file each behind one interface. A new loss is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bcdh_lib.training.losses.binary_constrained import BinaryConstrained
from bcdh_lib.training.losses.contrastive import Contrastive
from bcdh_lib.training.losses.dch import DCH
from bcdh_lib.training.losses.dhn import DHN
from bcdh_lib.training.losses.dpsh import DPSH
from bcdh_lib.training.losses.dsh import DSH
from bcdh_lib.training.losses.greedyhash import GreedyHash
from bcdh_lib.training.losses.hashnet import HashNet
from bcdh_lib.training.losses.pairwise import PairwiseLoss

LOSSES: dict[str, type[PairwiseLoss]] = {
    "binary_constrained": BinaryConstrained,
    "contrastive": Contrastive,
    "dsh": DSH,
    "dpsh": DPSH,
    "dhn": DHN,
    "hashnet": HashNet,
    "dch": DCH,
    "greedyhash": GreedyHash,
}


def loss_of(method: str) -> str:
    """The loss that trains a method; the float parent's is contrastive."""
    return "contrastive" if method == "float" else method


def make_loss(method: str, bits: int, settings: Mapping[str, Any]) -> PairwiseLoss:
    """The loss of a method for codes of `bits` bits, with its settings from params.yaml's losses.<method>."""
    loss = LOSSES[method]
    return loss(bits, loss.Settings.model_validate(settings))


__all__ = ["LOSSES", "PairwiseLoss", "loss_of", "make_loss"]
