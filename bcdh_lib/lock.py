"""One writer at a time: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path


class LockError(RuntimeError):
    """A lock that somebody else holds; the message names the file and the holder."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`. Raises LockError where another process holds it.

    It is the kernel's lock on the open file, not the file's being there: a dead process holds nothing. While it is held, the file
    says by whom; else it is empty. It is never removed: who waited for a removed file would share it with nobody.
    """
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LockError(f"{path}: held by {file.read() or 'another process'}; wait until it ends, or stop it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
