"""Losses on pairs of network outputs, one file each behind one interface. A new loss is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import first_fault
from bcdh_lib.core.text import one_line
from bcdh_lib.params import Params
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


def check_losses(params: Params) -> None:
    """Raise StudyError if a run's method has no loss, or a loss has a setting that it does not know or cannot use."""
    for method, settings in params.losses.items():
        if method not in LOSSES:
            raise StudyError(f"params.yaml: losses.{one_line(method)}: unknown; known: {', '.join(LOSSES)}")
        try:
            LOSSES[method].Settings.model_validate(settings)
        except ValidationError as error:
            known = ", ".join(LOSSES[method].Settings.model_fields)
            raise StudyError(f"params.yaml: losses.{method}.{first_fault(error)}; settings of this loss: {known}") from None
    for run in params.training.runs:
        if run.method != "float" and run.method not in params.losses:
            known = ", ".join(["float", *params.losses])
            raise StudyError(f"params.yaml: training.runs: {one_line(run.method)} has no settings under losses; known: {known}")


__all__ = ["LOSSES", "PairwiseLoss", "check_losses", "loss_of", "make_loss"]
