"""Reads the pickles that published data comes in without running anything they may carry."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any


class PickleError(ValueError):
    """A pickle that is broken or holds more than plain data; the message names the file."""


class _PlainUnpickler(pickle.Unpickler):
    """Knows only what the pickle format itself spells out: containers, numbers, strings, bytes, None and booleans."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only plain containers, numbers and strings are read")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def read_plain_pickle(path: Path) -> Any:
    """What a pickle of plain containers, numbers and strings holds. Raises PickleError on anything else; runs nothing."""
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise PickleError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a broken pickle raises nearly anything
        raise PickleError(f"{path}: is not a pickle of plain data ({error})") from None
