"""Our method with one thing changed at a time: what each part of the loss, of training and of the supply of pairs is worth.

An ablation trains with the configuration that tuning chose for our method, and what it names laid over it. None is tuned for
itself, none is chosen from: they explain the comparison, and take no part in it.
"""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from bcdh_lib.comparison.cells import Cell
from bcdh_lib.comparison.pair_supply import Supply
from bcdh_lib.comparison.significance import against_each
from bcdh_lib.comparison.tuning import Configuration, configured
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import NotNegative, Section, first_fault
from bcdh_lib.params import Network, Params
from bcdh_lib.retrieval.score import OURS

FOLDER = "ablations"
REFERENCE = "reference"
"""The ablation that changes nothing: what the others are compared with."""


class Ablation(Section):
    """What is laid over the chosen configuration: settings of the loss or of training, of the network; the supply of pairs."""

    settings: dict[str, int | float | str | bool] = Field(default_factory=dict)
    network: dict[str, int | float | str | bool | None] = Field(default_factory=dict)
    supply: Supply = Supply()


class Ablations(Section):
    """study.yaml's ablations: by name, at one code length."""

    bits: Annotated[int, Field(gt=0, multiple_of=8)]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    changes: dict[str, Ablation]

    @model_validator(mode="after")
    def reference_free(self) -> Ablations:
        if REFERENCE in self.changes:
            raise ValueError(f"changes.{REFERENCE}: is the name of the unchanged method; take another")
        return self

    @property
    def each(self) -> dict[str, Ablation]:
        """All of them by name, what changes nothing first."""
        return {REFERENCE: Ablation()} | self.changes

    def cells(self) -> list[Cell]:
        """A cell an ablation and seed; those of one supply of pairs follow each other."""
        names = sorted(self.each, key=lambda name: repr(self.each[name].supply) if name in self.changes else "")
        return [Cell(name, self.bits, seed, folder=FOLDER) for seed in self.seeds for name in names]


def ablated(params: Params, ablation: Ablation, cell: Cell, chosen: Configuration) -> Params:
    """Settings of an ablation's run. Raises StudyError where it names a setting or value that is none."""
    try:
        network = Network.model_validate(params.network.model_dump() | ablation.network)
    except ValidationError as error:
        raise StudyError(f"study.yaml: ablations.changes.{cell.method}.network: {first_fault(error)}") from None
    unknown = ablation.settings.keys() - configured(params, OURS, cell.bits, cell.seed, chosen).losses[OURS].keys()
    unknown -= type(params.training).model_fields.keys()
    if unknown:
        raise StudyError(f"study.yaml: ablations.changes.{cell.method}.settings: {min(unknown)} is no setting of {OURS}")
    changed = params.model_copy(update={"network": network})
    return configured(changed, OURS, cell.bits, cell.seed, chosen | ablation.settings)


def supply_made_with(supply: Supply, seed: int) -> dict[str, Any]:
    """What decides the pairs of a supply beside those of the models."""
    return {"supply": supply.model_dump() | {"seed": seed, "code": code_digest("bcdh_lib.comparison.pair_supply")}}


def differences_from_reference(queries: pd.DataFrame) -> pd.DataFrame:
    """A row a benchmark and ablation: its mAP and what it differs from the unchanged method's, paired by seed and query.

    Columns: benchmark, ablation, seeds, map, difference, low and high (its 95 % bootstrap interval over queries, AP means over
    seeds first), p, p_holm (corrected for all rows together).
    """
    compared = against_each(queries, REFERENCE).rename(columns={"method": "ablation"})
    turned = {"difference": -compared["difference"], "low": -compared["high"], "high": -compared["low"]}
    answered = queries[queries["positives"] > 0].rename(columns={"method": "ablation"})
    by_ablation = answered.groupby(["benchmark", "ablation"]).agg(seeds=("seed", "nunique"), map=("ap", "mean")).reset_index()
    columns = ["benchmark", "ablation", "seeds", "map", "difference", "low", "high", "p", "p_holm"]
    return compared.assign(**turned).merge(by_ablation, on=["benchmark", "ablation"], how="left")[columns]
