"""Settings written by a person: read from YAML, checked against types, with one clear message for a fault."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bcdh_lib.core.errors import one_line

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]

BRACKETS = 2000
"""Limit on opening brackets in a settings file: PyYAML takes quadratic time if they are nested, hours for a megabyte."""


class Section(BaseModel):
    """A group of settings: unknown keys fail, types are not converted, numbers are finite, values are frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises OSError, or ValueError with one line if it is not YAML."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
        if text.count("[") + text.count("{") > BRACKETS:
            raise ValueError(f"it opens more than {BRACKETS:,} brackets")
        return yaml.safe_load(text)
    except Exception as error:  # YAMLError, and what impossible dates, huge numbers or deep nesting raise
        raise ValueError(one_line(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first fault in settings: its dotted key, if it has one, and what is wrong."""
    key, said = key_and_fault(error.errors()[0])
    return f"{key}{': ' if key else ''}{said}"


def key_and_fault(fault: Any) -> tuple[str, str]:
    """Where a fault is, as a dotted key, and what pydantic says, as parts of a line."""
    return ".".join(one_line(part) for part in fault["loc"]), one_line(fault["msg"].removeprefix("Value error, "), 500)
