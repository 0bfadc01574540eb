"""Reads the pickles that published data comes in without running anything they may carry."""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line


class PickleError(StudyError):
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
        content = path.read_bytes()
        _check_lengths(content)
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except OSError as error:
        raise PickleError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a broken pickle raises nearly anything
        raise PickleError(f"{path}: is not a pickle of plain data ({one_line(error)})") from None


def _check_lengths(content: bytes) -> None:
    """Raise ValueError for a pickle that would have memory reserved for more than it holds.

    pickletools, which builds nothing, holds each length against what is there. A place in the memo is a number of its own: the
    unpickler makes room for all places before it.
    """
    puts = ("PUT", "BINPUT", "LONG_BINPUT")
    last = max((int(argument or 0) for code, argument, _ in pickletools.genops(content) if code.name in puts), default=0)
    if last > len(content):
        raise ValueError(f"it remembers an object as its {last:,}th")
