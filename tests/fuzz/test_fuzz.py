"""Every reader, given damaged files: a named error or a counted skip, never a library's traceback, a hang or a full memory.

    python -m pytest tests/fuzz --fuzz 10000       # inputs in all, dealt out to the readers by their weights

Inputs are seeded by the reader's name and their number: the same number is the same input. The readers stand in readers.py; what
is done to their samples, in mutations.py; what an answer must be, in worker.py.
"""

from __future__ import annotations

import multiprocessing

import pytest

from . import worker
from .readers import READERS

SILENCE = 900  # s without a word from the process: it hangs where no alarm reaches it
DEATHS = 3  # of the process, at which a reader's further inputs are left out


class Fuzzer:
    """The process that reads, started anew after an input that ended it."""

    def __init__(self, place):
        self.place, self.process = place, None

    def start(self):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=worker.serve, args=(theirs, self.place), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None

    def faults(self, name, count):
        """What was wrong with the answers to the inputs 0 .. count - 1, a text each, and how many of the others were what."""
        faults, outcomes, first, deaths = [], {}, 0, 0
        while first < count and deaths < DEATHS:
            if not self.process:
                self.start()
            at = first
            try:
                self.connection.send((name, first, count))
                while (said := self._next())[0] != "done":
                    at = said[1]
                    if said[0] == "fault":
                        faults.append(f"input {at}: {said[2]}")
                outcomes, first = said[1], count
            except (EOFError, ConnectionError, TimeoutError) as error:
                self.process.join(timeout=0 if isinstance(error, TimeoutError) else 10)
                log = (self.place / "log.txt").read_text(errors="replace")[-3000:]
                faults.append(f"input {at}: ended the process ({self.process.exitcode}, {error!r})\n{log}")
                self.stop()
                deaths, first = deaths + 1, at + 1
        return faults, outcomes

    def _next(self):
        if not self.connection.poll(SILENCE):
            raise TimeoutError
        return self.connection.recv()


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    fuzzer = Fuzzer(tmp_path_factory.mktemp("fuzz"))
    yield fuzzer
    fuzzer.stop()


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_told_or_counted(name, fuzzer, request):
    wanted, total = request.config.getoption("--fuzz"), sum(reader.weight for reader in READERS.values())
    count = -(-wanted * READERS[name].weight // total)  # rounded up
    faults, outcomes = fuzzer.faults(name, count)
    assert not faults, f"{len(faults)} of {count}\n" + "\n".join(faults)
    assert outcomes["refused"] or not READERS[name].faults or count < 10, "no damage was noticed: the mutations miss"
