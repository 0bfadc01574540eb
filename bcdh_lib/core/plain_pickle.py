"""Reads the pickles in which published data comes, and runs no code that they may carry."""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

from bcdh_lib.core.errors import StudyError, one_line


class _PlainUnpickler(pickle.Unpickler):
    """Accepts only what the pickle format itself encodes: containers, numbers, strings, bytes, None and booleans."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only plain containers, numbers and strings are read")


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle of plain containers, numbers and strings. Raises StudyError on anything else."""
    try:
        content = path.read_bytes()
        _check_lengths(content)
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise StudyError(f"{path}: is not a pickle of plain data ({one_line(error)})") from None


def _check_lengths(content: bytes) -> None:
    """Raise ValueError if reading the pickle would reserve far more memory than its size.

    pickletools builds nothing and compares each length with the bytes that follow. Memo indexes need their own check: the
    unpickler allocates every place up to the largest index.
    """
    puts = [
        int(argument or 0) for code, argument, _ in pickletools.genops(content) if code.name in ("PUT", "BINPUT", "LONG_BINPUT")
    ]
    if max(puts, default=0) > len(content):
        raise ValueError("it remembers more objects than it has bytes")
