"""Settings that a person writes: YAML read safely, checked against types, one clear fault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bcdh_lib.core.text import one_line

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
NotNegativeReal = Annotated[float, Field(ge=0, allow_inf_nan=False)]

BRACKETS = 2000
"""Most that a file of settings may open: PyYAML takes the square of the time where they are nested, hours for a megabyte."""


class Section(BaseModel):
    """A group of settings: no unknown key, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises OSError, or ValueError, one line, where it is none."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
        if text.count("[") + text.count("{") > BRACKETS:
            raise ValueError(f"it opens more than {BRACKETS:,} brackets")
        return yaml.safe_load(text)
    except Exception as error:  # beside YAMLError: a date that is none, a number of thousands of digits, lists in lists
        raise ValueError(one_line(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first fault of settings: the key it is at, if it is at one, and what is wrong."""
    fault = error.errors()[0]
    key = dotted(fault["loc"])
    return f"{key}{': ' if key else ''}{one_line(fault['msg'].removeprefix('Value error, '), 500)}"


def dotted(place: tuple[int | str, ...]) -> str:
    """Where a fault is, dotted."""
    return ".".join(one_line(part) for part in place)
