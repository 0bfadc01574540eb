"""Files: written atomically, read with one clear fault and without running what they may carry, and a lock for one writer."""

import fcntl
import io
import json
import os
import pickle
import pickletools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bcdh_lib.core.errors import StudyError, one_line


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a killed run leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def write_json(path: Path, content: Any, indent: int = 2) -> None:
    """Write JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=indent) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of named figures. Raises StudyError if there are none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); make it with: dvc repro") from None
    if not (isinstance(content, dict) and content):
        raise StudyError(f"{path}: holds no figures; make it with: dvc repro")
    return content


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """The array of a .npy file, memory-mapped or read. Raises OSError, or ValueError if the file is not a whole .npy.

    np.load alone allocates what the header announces, and accepts a .zip.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a damaged header can raise nearly anything
        raise ValueError(f"it is not a whole .npy ({one_line(error)})") from None
    if (size := path.stat().st_size) != array.offset + array.nbytes:
        raise ValueError(f"it announces {array.dtype} {array.shape}, and has {size:,} bytes")
    return array if mapped else np.array(array)


class _PlainUnpickler(pickle.Unpickler):
    """Accepts only what the pickle format itself encodes: containers, numbers, strings, bytes, None and booleans."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only plain containers, numbers and strings are read")


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle of plain containers, numbers and strings. Raises StudyError on anything else.

    pickletools builds nothing and compares each length with the bytes that follow. Memo indexes need their own check: the
    unpickler allocates every place up to the largest index.
    """
    try:
        content = path.read_bytes()
        puts = [int(to or 0) for code, to, _ in pickletools.genops(content) if code.name in ("PUT", "BINPUT", "LONG_BINPUT")]
        if max(puts, default=0) > len(content):
            raise ValueError("it remembers more objects than it has bytes")
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise StudyError(f"{path}: is not a pickle of plain data ({one_line(error)})") from None


@contextmanager
def writing(path: Path, instead: str) -> Iterator[None]:
    """Turn an OSError (disk full, no permission) into StudyError; `instead` is what else the user can do."""
    try:
        yield
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise StudyError(f"{error.filename or path}: {reason}; make room or give permission, or {instead}") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`. Raises StudyError if another process holds it or the file system has no locks.

    The kernel locks the open file, so a dead process holds nothing. The file names its holder. It is never removed: a process
    that had opened the removed file would lock something nobody else sees.
    """
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StudyError(f"{path}: held by {file.read() or 'another process'}; wait until it ends, or stop it") from None
        except OSError as error:
            raise StudyError(f"{path}: cannot be locked ({error.strerror}); use a folder on a file system with locks") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
