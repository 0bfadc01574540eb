"""Equal tuning: as many random configurations for every method; the best on held-apart places is chosen. No benchmark is read.

A trial trains one configuration at one code length and is scored by the validation mAP of its codes. All trials of hash layers
use the same vectors, those of the float baseline of the study's first seed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from bcdh_lib.comparison.plan import Configuration, Tuning
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import first_fault
from bcdh_lib.params import Params
from bcdh_lib.training.losses import check_losses


def draw_configurations(tuning: Tuning, method: str) -> list[Configuration]:
    """The method's random configurations. They depend on its name and ranges alone, so other methods can come and go."""
    generator = np.random.default_rng([tuning.seed, zlib.crc32(method.encode())])
    ranges = sorted(tuning.ranges[method].items())
    return [{key: values.draw(generator) for key, values in ranges} for _ in range(tuning.configurations)]


def configured(params: Params, method: str, configuration: Mapping[str, Any]) -> Params:
    """The settings with a configuration of a method laid over its own. Raises StudyError if one is unknown or has a bad value."""
    settings = params.model_dump()
    settings["losses"][method] = settings["losses"].get(method, {}) | dict(configuration)
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
