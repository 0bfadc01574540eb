"""The process that reads the mutated inputs: what ends, hangs or bloats it does so to it alone, and the test hears of it.

A reader may answer in two ways: what it read, or an error of its own, one line that names the file. Anything else is a fault.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS = 10.0  # of computing, an input
MORE_MEMORY = 4 << 30  # bytes of addresses beyond what the process has before its first input; pyarrow alone reserves one GiB
MORE_PEAK = 1 << 28  # bytes by which one input may raise the most that the process ever held
LONGEST = 2000  # characters of an error's line


class Hang(BaseException):
    """An input that took too long; no reader's `except Exception` takes it for its own."""


def serve(connection: Connection, place: Path) -> None:
    """Answer (reader, first, count) with ("at", number) before each input, ("fault", number, text) and ("done", outcomes)."""
    log = os.open(place / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from .readers import READERS

    _limit()
    while (job := connection.recv()) is not None:
        name, first, count = job
        sample = Sample(READERS[name], place / name.replace(" ", "_"))
        outcomes = {"read": 0, "refused": 0}
        for number in range(first, count):
            connection.send(("at", number))
            fault = sample.outcome(number)
            if fault in outcomes:
                outcomes[fault] += 1
            else:
                connection.send(("fault", number, fault))
        connection.send(("done", outcomes))


def _limit() -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    if held:
        resource.setrlimit(resource.RLIMIT_AS, (held + MORE_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MORE_PEAK,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Sample:
    """A reader's valid sample on disk, and what becomes of it, mutated."""

    def __init__(self, reader: Any, folder: Path) -> None:
        self.reader, self.folder = reader, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        reader.make(folder)
        self.files = _contents(folder)
        reader.read(folder)  # as it is, it can be read
        self._restore()

    def outcome(self, number: int) -> str:
        """ "read" or "refused", or what is wrong with the reader's answer to the input of this number."""
        rng = random.Random(zlib.crc32(self.reader.name.encode()) + (number << 32))
        target = rng.choice(sorted(name for name in self.files if Path(name).match(self.reader.mutated)))
        content = self.files[target]
        while content == self.files[target]:
            content = rng.choice(self.reader.mutations)(rng, content)
        (self.folder / target).write_bytes(content)
        said = self._read()
        left = _contents(self.folder)
        expected = self.files | {target: content}
        changed = [name for name in expected | left if left.get(name) != expected.get(name) and not self.reader.changes(name)]
        self._restore()
        return said if not changed else f"changed {', '.join(changed)}"

    def _read(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with _alarm():
                self.reader.read(self.folder)
            said = "read"
        except Hang:
            return f"took more than {SECONDS} s"
        except Exception as error:
            said = self._answer(error)
        more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
        return said if more < MORE_PEAK else f"{said}, but took {more:,} bytes"

    def _answer(self, error: Exception) -> str:
        """ "refused", or what is wrong with an error."""
        cause: BaseException | None = error
        while cause:
            if isinstance(cause, MemoryError):
                return f"asked for more memory than there was: {traceback.format_exc(limit=-4)}"
            cause = cause.__cause__ or cause.__context__
        if not isinstance(error, self.reader.faults):
            return traceback.format_exc(limit=-4)
        if not any(name in str(error) for name in (self.folder.name, *(Path(file).name for file in self.files))):
            return f"names no file: {error}"
        lines = str(error).splitlines() if self.reader.lines else [str(error)]
        if any(len(line) > LONGEST or not line.isprintable() for line in lines):
            return f"is not a line to read, or several: {str(error)[:LONGEST]!r}"
        return "refused"

    def _restore(self) -> None:
        for name in _contents(self.folder).keys() - self.files.keys():
            (self.folder / name).unlink()
        for name, content in self.files.items():
            if not (self.folder / name).is_file() or (self.folder / name).read_bytes() != content:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_bytes(content)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def _alarm() -> Iterator[None]:
    """Computing time, not time: a machine that has more to do is no hang."""

    def stop(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
