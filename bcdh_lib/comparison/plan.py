"""study.yaml as typed, validated settings: what the study over seeds compares, and how it tunes.

Tuning is equal: as many random configurations for every method, each tried at every length of tuning.bits and scored by the
validation mAP of its codes; no benchmark is read. A code length uses the best configuration of the nearest length that was
tuned. All trials use the same vectors, those of the float baseline of the study's first seed.
"""

import json
import zlib
from math import log2
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.settings import NotNegative, Positive, Section, Share, first_fault, read_yaml
from bcdh_lib.params import Params
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.retrieval.systems import BCDH
from bcdh_lib.training.losses import LOSSES, check_losses

Settings = dict[str, float | int | str | bool | None]
"""Settings of one section of params.yaml, by name."""
Bits = Annotated[int, Field(gt=0, multiple_of=8)]
Lengths = Annotated[list[Bits], Field(min_length=1)]
Seeds = Annotated[list[NotNegative], Field(min_length=1)]
Names = Annotated[list[str], Field(min_length=1)]


class Interval(Section):
    """A range that values are drawn from."""

    low: float
    high: float
    scale: Literal["linear", "log"]

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError("low must be less than high, and more than 0 on a log scale")
        return self

    def draw(self, generator: np.random.Generator) -> float:
        """A random value, rounded to the four digits that the tables show."""
        there, back = (np.log, np.exp) if self.scale == "log" else (float, float)
        return float(f"{back(generator.uniform(there(self.low), there(self.high))):.4g}")


class Tuning(Section):
    """Random search: as many configurations for every method, each tried at all of `bits`."""

    configurations: Positive
    seed: NotNegative  # of the draw of configurations, and of the trials
    bits: Lengths
    rounds: Positive  # of a trial
    ranges: dict[str, dict[str, Interval]]


class Supply(Section):
    """Which training photos count as similar, for the hash layer.

    models: those of one group of 3D models. truth: those of one true landmark. clusters: those of one cluster of the pretrained
    vectors, as many clusters as groups. wrong: share of the photos that are moved into another group at random.
    """

    source: Literal["models", "truth", "clusters"] = "models"
    wrong: Share = 0.0


class Ablation(Section):
    """What one ablation changes: settings of our loss, of training.hash_layer, or the supply of pairs."""

    loss: Settings = Field(default_factory=dict)
    hash_layer: Settings = Field(default_factory=dict)
    supply: Supply = Supply()


REFERENCE = "reference"
"""The ablation that changes nothing; the others are compared with it."""


class Part(Section):
    """A further part of the study, at some of the comparison's code lengths and seeds."""

    bits: Lengths
    seeds: Seeds


class EndToEnd(Part):
    """Blocks and hash layer of every method are trained further, together. settings: laid over training.end_to_end.

    learning_rates: every method tries each with the first seed, at every code length, and uses the best by validation.
    The control: the float baseline is trained further on the same batches, and every method gets a hash layer on its vectors.
    """

    settings: Settings
    learning_rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Ablations(Part):
    changes: dict[str, Ablation]


class Models(Part):
    """The curve over the number of 3D models (groups of linked models); each point trains its own float baseline."""

    counts: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    methods: Names


class Plan(Section):
    """study.yaml. changes: laid over params.yaml.

    trained_on: collections to train on, by the name that tables give them: folders of studies (absolute, or from study.yaml)
    whose photos and pairs are there already, several of them together; None: the study's own collection. shallow: shallow codes.
    """

    changes: dict[str, Any] = Field(default_factory=dict)
    trained_on: dict[str, Names] | None = None
    methods: Names
    shallow: list[str] = Field(default_factory=lambda: list(SHALLOW))
    bits: Lengths
    seeds: Seeds
    tuning: Tuning
    end_to_end: EndToEnd | None = None
    ablations: Ablations | None = None
    models: Models | None = None

    @model_validator(mode="after")
    def consistent(self) -> Self:
        for key, names, known in (("methods", self.methods, LOSSES), ("shallow", self.shallow, SHALLOW)):
            for name in set(names) - known.keys():
                raise ValueError(f"{key}: {one_line(name)} is unknown; known: {', '.join(known)}")
        for method in self.tuning.ranges.keys() ^ set(self.methods):
            raise ValueError(f"tuning.ranges: must name exactly the methods; see {one_line(method)}")
        parts = {"end_to_end": self.end_to_end, "ablations": self.ablations, "models": self.models}
        for key, part in parts.items():
            if part and not (set(part.seeds) <= set(self.seeds) and set(part.bits) <= set(self.bits)):
                raise ValueError(f"{key}: its seeds and bits must be among those of the comparison")
        if self.models and not set(self.models.methods) <= set(self.methods):
            raise ValueError("models.methods: must be among methods")
        if self.ablations and (BCDH not in self.methods or self.trained_on or REFERENCE in self.ablations.changes):
            raise ValueError(f"ablations: need {BCDH} among methods, no trained_on, and no change of the name {REFERENCE}")
        return self


def load_plan(path: Path) -> Plan:
    """The plan in a file. Raises StudyError, one line, if it cannot be read or is not valid."""
    try:
        return Plan.model_validate(read_yaml(path))
    except ValidationError as error:
        raise StudyError(f"{path}: {first_fault(error)}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); restore it with: git checkout study.yaml") from None


def draw_configurations(tuning: Tuning, method: str) -> list[Settings]:
    """The method's random configurations. They depend on its name and ranges alone, so other methods can come and go."""
    generator = np.random.default_rng([tuning.seed, zlib.crc32(method.encode())])
    ranges = sorted(tuning.ranges[method].items())
    return [{key: values.draw(generator) for key, values in ranges} for _ in range(tuning.configurations)]


Changes = dict[str, Settings]
"""What is laid over sections of params.yaml, by the sections' dotted names."""


def changed(params: Params, changes: Changes) -> Params:
    """The settings with changes laid over them. Raises StudyError if one is not valid."""
    if not changes:
        return params
    settings = params.model_dump()
    for name, values in changes.items():
        section = settings
        for part in name.split("."):
            section = section.setdefault(part, {})
        section.update(values)
    try:
        made = Params.model_validate(settings)
        check_losses(made)
    except (ValidationError, StudyError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise StudyError(f"study.yaml: settings of {', '.join(changes)} are not valid: {fault}") from None
    return made


Chosen = dict[str, dict[int, dict[str, Any]]]
"""By method and code length tuned: number, configuration and validation_map of the best trial."""


def choose(trials: pd.DataFrame) -> Chosen:
    """The configuration with the best mAP (the first of equals) of each method and length. Raises StudyError if all diverged."""
    chosen: Chosen = {}
    for (method, bits), own in trials.groupby(["method", "bits"], sort=False):
        if own["validation_map"].isna().all():
            raise StudyError(f"study.yaml: tuning.ranges.{method}: all diverged at {bits} bits; narrow its ranges")
        best = own.loc[own["validation_map"].idxmax()]
        found = {"number": int(best["number"]), "configuration": json.loads(best["configuration"])}
        chosen.setdefault(str(method), {})[int(bits)] = found | {"validation_map": float(best["validation_map"])}
    return chosen


def nearest(chosen: Chosen, method: str, bits: int) -> Settings:
    """The configuration that a method uses at a code length: that of the nearest length tuned, by ratio; of two, the shorter."""
    tuned = chosen[method]
    return tuned[min(tuned, key=lambda length: (abs(log2(length / bits)), length))]["configuration"]
