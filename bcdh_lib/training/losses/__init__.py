"""Losses on the pairs of a batch, one file each. A new loss is a new file here that defines LOSS, a subclass of PairwiseLoss."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.registry import discover
from bcdh_lib.core.settings import first_fault
from bcdh_lib.params import Params
from bcdh_lib.training.losses.pairwise import PairwiseLoss

LOSSES: dict[str, type[PairwiseLoss]] = discover(__name__, "LOSS")


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
        if run.bits is not None and run.method not in params.losses:
            known = ", ".join(["float", *params.losses])
            raise StudyError(f"params.yaml: training.runs: {one_line(run.method)} has no settings under losses; known: {known}")
