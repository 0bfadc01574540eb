"""Equal tuning: as many random configurations for every method, the best on held-apart models chosen. No benchmark is read.

A trial is one configuration trained with one seed, and scored by the validation mAP of its binary codes (of vectors for the float
parent). Each finished trial is a file of its own in reports/study/trials, so a killed tuning goes on after it; trials.csv and
chosen.json are drawn from these files.

All trials share one training set, whose augmented views come from the seed of params.yaml; a trial's own seed draws its batches
and starts its hash layer.
"""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator
from tqdm import tqdm

from bcdh_lib.comparison.provenance import check, log, made_with, work_folder
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes, write_json
from bcdh_lib.core.settings import NotNegative, Positive, Section, first_fault
from bcdh_lib.core.text import one_line
from bcdh_lib.params import Params, Training
from bcdh_lib.study import Study
from bcdh_lib.training.losses import loss_of
from bcdh_lib.training.train import train_run
from bcdh_lib.training.training_set import TrainingSet

Configuration = dict[str, float | str | bool]
PAUSE = 10.0
"""Seconds between two looks for the trials of other shares."""


class Interval(Section):
    low: float
    high: float
    scale: Literal["linear", "log"]

    @model_validator(mode="after")
    def ordered(self) -> Interval:
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError("low must be less than high, and more than 0 on a log scale")
        return self

    def draw(self, generator: np.random.Generator) -> float:
        """A value to four digits: as it is committed, so it is used."""
        if self.scale == "linear":
            return float(f"{generator.uniform(self.low, self.high):.4g}")
        return float(f"{np.exp(generator.uniform(np.log(self.low), np.log(self.high))):.4g}")


class Choice(Section):
    among: Annotated[list[float | str | bool], Field(min_length=1)]

    def draw(self, generator: np.random.Generator) -> float | str | bool:
        return self.among[generator.integers(len(self.among))]


class Tuning(Section):
    configurations: Positive
    rounds: Positive
    seed: NotNegative
    bits: Annotated[int, Field(gt=0, multiple_of=8)]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    ranges: dict[str, dict[str, Interval | Choice]]


@dataclass(frozen=True)
class Share:
    """Every `of`-th piece of work, from the `number`-th, 1 to `of`: what one of several processes does."""

    number: int = 1
    of: int = 1

    def part(self, work: Sequence[Any]) -> list[Any]:
        return list(work[self.number - 1 :: self.of])


@dataclass(frozen=True)
class Trial:
    """A configuration of a method, by its number, and the settings of the run with one seed."""

    method: str
    number: int
    seed: int
    configuration: Configuration
    params: Params

    @property
    def name(self) -> str:
        return f"{self.method}-{self.number:02d}-{self.seed}"

    def path(self, study: Study) -> Path:
        return study.reports / "study/trials" / f"{self.name}.json"


def draw_configurations(tuning: Tuning, method: str) -> list[Configuration]:
    """The method's random configurations; they depend on its own ranges and name alone, so methods can come and go."""
    generator = np.random.default_rng([tuning.seed, zlib.crc32(method.encode())])
    ranges = sorted(tuning.ranges[method].items())
    return [{key: values.draw(generator) for key, values in ranges} for _ in range(tuning.configurations)]


def configured(
    params: Params,
    method: str,
    bits: int | None,
    seed: int,
    configuration: Configuration,
    found_at: str = "study.yaml: tuning.ranges.",
) -> Params:
    """Settings of a single run. What `configuration` names is a setting of training or else of the method's loss.

    Raises StudyError, `found_at` before the method's name, where they are not valid.
    """
    settings = params.model_dump()
    settings["run"]["seed"] = seed
    settings["training"]["runs"] = [{"method": method, "bits": None if method == "float" else bits}]
    for key, value in configuration.items():
        (settings["training"] if key in Training.model_fields else settings["losses"][loss_of(method)])[key] = value
    try:
        return Params.model_validate(settings)
    except ValidationError as error:
        raise StudyError(f"{found_at}{method}: {first_fault(error)}") from None


def trials_of(tuning: Tuning, methods: Sequence[str], params: Params) -> list[Trial]:
    """All trials of these methods. Raises StudyError where a range leaves what its setting may be."""
    shorter = params.model_copy(update={"training": params.training.model_copy(update={"rounds": tuning.rounds})})
    return [
        Trial(method, number, seed, configuration, configured(shorter, method, tuning.bits, seed, configuration))
        for method in methods
        for number, configuration in enumerate(draw_configurations(tuning, method))
        for seed in tuning.seeds
    ]


def tune(study: Study, trials: Sequence[Trial], share: Share, training_set: Callable[[], TrainingSet]) -> None:
    """Run this share's unfinished trials, then wait until the other shares have finished theirs.

    Raises StudyError where a finished trial was made with other settings, code or pairs.
    """
    mine = share.part(trials)
    pending = [trial for trial in mine if read_trial(study, trial) is None]
    with tqdm(desc="trials", unit="trial", total=len(mine), initial=len(mine) - len(pending)) as bar:
        for trial in pending:
            run_trial(study, trial, training_set())
            bar.update()
    if share.of > 1:
        wait_for_others(study, trials)


def wait_for_others(study: Study, trials: Sequence[Trial]) -> None:
    """Return once every trial is finished, whichever process runs it."""
    with tqdm(desc="trials of all shares", unit="trial", total=len(trials)) as bar:
        while bar.n < len(trials):
            bar.update(sum(trial.path(study).is_file() for trial in trials) - bar.n)
            if bar.n < len(trials):
                time.sleep(PAUSE)


def run_trial(study: Study, trial: Trial, training_set: TrainingSet) -> None:
    """Train and record one trial. One that diverges is recorded with its fault, and is never chosen."""
    made, started = made_with(study, trial.params), time.monotonic()
    work = work_folder(study.root, trial.name, made)
    value, fault = None, None
    try:
        history = train_run(training_set, trial.params, trial.params.training.runs[0], work)
        value = max(row["validation_map"] for row in history)
    except StudyError as error:
        fault = str(error)
    row = {"method": trial.method, "number": trial.number, "configuration": trial.configuration, "seed": trial.seed}
    write_json(trial.path(study), row | {"validation_map": value, "fault": fault, "made_with": made})
    log(study, "trials", trial.name, time.monotonic() - started)
    shutil.rmtree(work)


def read_trial(study: Study, trial: Trial) -> dict[str, Any] | None:
    """What a finished trial gave; None where it isn't finished. Raises StudyError where it is another's."""
    path = trial.path(study)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise StudyError(f"{path}: is not JSON; remove it, and the trial is run again") from None
    check(path, found["made_with"], made_with(study, trial.params))
    return {key: found[key] for key in ("method", "number", "configuration", "seed", "validation_map", "fault")}


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By method: the configuration of the best validation mAP, mean over the seeds; the first of equals.

    A configuration that diverged with any seed is out. Raises StudyError where all of a method's are.
    """
    trials = pd.DataFrame(rows).astype({"validation_map": float})
    chosen = {}
    for method, own in trials.groupby("method", sort=False):
        means = own.groupby("number")["validation_map"].agg(lambda values: values.mean(skipna=False))
        if means.isna().all():
            raise StudyError(f"study.yaml: tuning.ranges.{method}: every configuration diverged; narrow its ranges")
        number = means.idxmax()
        configuration = own.loc[own["number"] == number, "configuration"].iloc[0]
        chosen[str(method)] = {"number": int(number), "configuration": configuration, "validation_map": float(means[number])}
    return chosen


def read_chosen(path: Path, methods: Sequence[str], params: Params) -> dict[str, Configuration]:
    """The configurations that another study has chosen for these methods, from its chosen.json.

    Raises StudyError where the file cannot be read, lacks a method, or holds what its settings may not be.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        chosen = {method: dict(content[method]["configuration"]) for method in methods}
    except KeyError as error:
        raise StudyError(f"{path}: has no configuration of {error.args[0]}; set chosen in study.yaml to null to tune") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise StudyError(f"{path}: holds no configurations ({one_line(error)}); see chosen in study.yaml") from None
    for method, configuration in chosen.items():
        configured(params, method, 8, 0, configuration, f"{path}: ")
    return chosen


def write_trials(study: Study, rows: Sequence[dict[str, Any]]) -> None:
    """reports/study/trials.csv, a row a trial, and chosen.json."""
    table = pd.DataFrame(rows)
    table["configuration"] = table["configuration"].map(json.dumps)
    write_bytes(study.reports / "study/trials.csv", table.to_csv(index=False, float_format="%.6f").encode())
    write_json(study.reports / "study/chosen.json", choose(rows))
