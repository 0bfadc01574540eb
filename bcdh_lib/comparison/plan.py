"""study.yaml as typed, validated settings: what the study over seeds compares, and how it tunes.

Tuning is equal: as many random configurations for every method; the best on held-apart places is chosen, and no benchmark is
read. A trial trains one configuration at one code length and is scored by the validation mAP of its codes. All trials use the
same vectors, those of the float baseline of the study's first seed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.settings import NotNegative, Positive, Section, Share, first_fault, read_yaml
from bcdh_lib.params import Params
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.retrieval.systems import BCDH
from bcdh_lib.training.losses import LOSSES, check_losses

Value = float | int | str | bool | None
Configuration = dict[str, Value]
"""Settings of losses.METHOD in params.yaml, by name."""
Bits = Annotated[int, Field(gt=0, multiple_of=8)]
Lengths = Annotated[list[Bits], Field(min_length=1)]
Seeds = Annotated[list[NotNegative], Field(min_length=1)]


class Interval(Section):
    """A range that values are drawn from."""

    low: float
    high: float
    scale: Literal["linear", "log"]

    @model_validator(mode="after")
    def ordered(self) -> Interval:
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError("low must be less than high, and more than 0 on a log scale")
        return self

    def draw(self, generator: np.random.Generator) -> float:
        """A random value, rounded to the four digits that the tables show."""
        if self.scale == "linear":
            return float(f"{generator.uniform(self.low, self.high):.4g}")
        return float(f"{np.exp(generator.uniform(np.log(self.low), np.log(self.high))):.4g}")


class Choice(Section):
    """Values to choose from."""

    among: Annotated[list[float | str | bool], Field(min_length=1)]

    def draw(self, generator: np.random.Generator) -> float | str | bool:
        return self.among[generator.integers(len(self.among))]


class Tuning(Section):
    """Random search: as many configurations for every method, chosen by validation mAP, mean over `bits`."""

    configurations: Positive
    seed: NotNegative  # of the draw of configurations, and of the trials
    bits: Lengths
    rounds: Positive  # of a trial
    ranges: dict[str, dict[str, Interval | Choice]]


class Supply(Section):
    """Which training photos count as similar, for the hash layer.

    models: those of one group of 3D models. truth: those of one true landmark. clusters: those of one cluster of the pretrained
    vectors, as many clusters as groups. wrong: share of the photos that are moved into another group at random.
    """

    source: Literal["models", "truth", "clusters"] = "models"
    wrong: Share = 0.0

    @property
    def from_models(self) -> bool:
        """Whether nothing is changed."""
        return self == Supply()


class Ablation(Section):
    """What one ablation changes: settings of our loss, of training.hash_layer, or the supply of pairs."""

    loss: Configuration = Field(default_factory=dict)
    hash_layer: Configuration = Field(default_factory=dict)
    supply: Supply = Supply()


REFERENCE = "reference"
"""The ablation that changes nothing; the others are compared with it."""


class Ablations(Section):
    bits: Lengths
    seeds: Seeds
    changes: dict[str, Ablation]

    @model_validator(mode="after")
    def reference_free(self) -> Ablations:
        if REFERENCE in self.changes:
            raise ValueError(f"changes.{REFERENCE}: this name is taken by the unchanged method; use another")
        return self


class Models(Section):
    """The curve over the number of 3D models (groups of linked models); each point trains its own float baseline."""

    counts: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    bits: Lengths
    seeds: Seeds


class Plan(Section):
    """study.yaml. changes: laid over params.yaml.

    trained_on: collections to train on, by the name that tables give them: folders of studies (absolute, or from study.yaml)
    whose photos and pairs are there already, several of them together; None: the study's own collection. shallow: shallow codes.
    """

    changes: dict[str, Any] = Field(default_factory=dict)
    trained_on: dict[str, Annotated[list[str], Field(min_length=1)]] | None = None
    methods: Annotated[list[str], Field(min_length=1)]
    shallow: list[str] = Field(default_factory=lambda: list(SHALLOW))
    bits: Lengths
    seeds: Seeds
    tuning: Tuning
    ablations: Ablations | None = None
    models: Models | None = None

    @model_validator(mode="after")
    def methods_known(self) -> Plan:
        for method in (*self.methods, *(self.models.methods if self.models else ())):
            if method not in LOSSES:
                raise ValueError(f"methods: {one_line(method)} is unknown; known: {', '.join(LOSSES)}")
        for method in set(self.shallow) - SHALLOW.keys():
            raise ValueError(f"shallow: {one_line(method)} is unknown; known: {', '.join(SHALLOW)}")
        for method in self.tuning.ranges.keys() ^ set(self.methods):
            raise ValueError(f"tuning.ranges: must name exactly the methods; see {one_line(method)}")
        return self

    @model_validator(mode="after")
    def parts_of_the_comparison(self) -> Plan:
        if self.ablations and BCDH not in self.methods:
            raise ValueError(f"ablations: need {BCDH} among methods")
        if self.ablations and self.trained_on:
            raise ValueError("ablations: are for the study's own collection; remove ablations or trained_on")
        for name, part in (("ablations", self.ablations), ("models", self.models)):
            if part and not (set(part.seeds) <= set(self.seeds) and set(part.bits) <= set(self.bits)):
                raise ValueError(f"{name}: its seeds and bits must be among those of the comparison")
        if self.models and not set(self.models.methods) <= set(self.methods):
            raise ValueError("models.methods: must be among methods")
        return self


def load_plan(path: Path) -> Plan:
    """The plan in a file. Raises StudyError, one line, if it cannot be read or is not valid."""
    try:
        return Plan.model_validate(read_yaml(path))
    except ValidationError as error:
        raise StudyError(f"{path}: {first_fault(error)}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); restore it with: git checkout study.yaml") from None


def draw_configurations(tuning: Tuning, method: str) -> list[Configuration]:
    """The method's random configurations. They depend on its name and ranges alone, so other methods can come and go."""
    generator = np.random.default_rng([tuning.seed, zlib.crc32(method.encode())])
    ranges = sorted(tuning.ranges[method].items())
    return [{key: values.draw(generator) for key, values in ranges} for _ in range(tuning.configurations)]


def configured(
    params: Params, method: str, configuration: Mapping[str, Any], hash_layer: Mapping[str, Any] | None = None
) -> Params:
    """The settings with a configuration of a method, and settings of training.hash_layer, laid over their own.

    Raises StudyError if one is unknown or has a bad value.
    """
    settings = params.model_dump()
    settings["losses"][method] = settings["losses"].get(method, {}) | dict(configuration)
    settings["training"]["hash_layer"] |= hash_layer or {}
    try:
        changed = Params.model_validate(settings)
        check_losses(changed)
    except (ValidationError, StudyError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise StudyError(f"study.yaml: a configuration of {method} is not valid: {fault}") from None
    return changed


def choose(trials: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By method: the configuration with the best validation mAP, mean over code lengths; the first of equals.

    trials: columns of trials.csv. A configuration that diverged at any length is never chosen. Raises StudyError if all of a
    method's diverged.
    """
    chosen = {}
    for method, own in trials.groupby("method", sort=False):
        means = own.groupby("number")["validation_map"].agg(lambda values: values.mean(skipna=False))
        if means.isna().all():
            raise StudyError(f"study.yaml: tuning.ranges.{method}: every configuration diverged; narrow its ranges")
        number = means.idxmax()
        configuration = json.loads(own.loc[own["number"] == number, "configuration"].iloc[0])
        chosen[str(method)] = {"number": int(number), "configuration": configuration, "validation_map": float(means[number])}
    return chosen
