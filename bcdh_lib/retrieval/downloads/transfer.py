"""One file over HTTP: whole or not at all, and a broken connection goes on where it broke.

What has come so far is PATH.part; PATH.part.json says of which version it is the start: the server's strong ETag, or else its
Last-Modified. The rest is asked for of that version alone (Range with If-Range: RFC 9110, 13.1.5 and 14.2). Where the file has
changed, the server ignores Range, or it sends another piece than asked for, the file starts anew: two versions are never glued.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
import urllib3
from pydantic import TypeAdapter
from tqdm import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_json

PIECE = 1 << 18  # bytes read at once; at most so much is lost when a connection breaks
ATTEMPTS = 6  # in a row that bring nothing new
TIMEOUT = (20.0, 60.0)  # s: to connect, and between two pieces
AGAIN = {408, 429, 500, 502, 503, 504}  # answers that time may mend


class _BrokenOff(Exception):
    """An attempt that failed in a way that the next one may mend."""


@dataclass(frozen=True)
class Version:
    """One version of a file at an address: what tells it from others, and its length in bytes, as far as the server says."""

    url: str
    validator: str | None
    length: int | None


NOTED = TypeAdapter(Version)


class Part:
    """The start of a file that has come so far, and the version it belongs to (None where nothing has come)."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")
        self.version = self._read_note()
        if self.version is None or self.version.url != url or (self.version.length or self.size) < self.size:
            self.drop()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def complete(self) -> bool:
        return self.version is not None and self.path.is_file() and self.size == self.version.length

    def start(self, version: Version) -> None:
        """Begin the file of this version, in place of what has come."""
        self.drop()
        write_json(self._note, asdict(version))
        self.version = version

    def end(self, size: int, length: int | None, url: str) -> None:
        """Take note that an answer came to its end with `size` bytes there of `length`. Raises _BrokenOff where some lack."""
        if length is not None and size < length:
            raise _BrokenOff(f"the answer ended after {size:,} of {length:,} bytes")
        self.version = Version(url, None, size)

    def drop(self) -> None:
        """Throw away what has come. The bytes go first: they must never lie beside another version's note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.version = None

    def place(self, path: Path) -> None:
        os.replace(self.path, path)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> Version | None:
        try:
            return NOTED.validate_json(self._note.read_bytes(), strict=True)
        except (OSError, ValueError):
            return None


def fetch(url: str, path: Path, most: int, pause: float = 1.0) -> None:
    """Bring the file at `url` to `path`, going on with what an earlier call left; `path` is there whole or not at all.

    most: bytes; a longer file is refused. pause: s before the second attempt, doubled before every further one; attempts that
    bring something new do not count. Raises StudyError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Part(path, url)
    failed, furthest = 0, part.size
    with (
        requests.Session() as session,
        tqdm(desc=path.name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar,
    ):
        while not part.complete:
            try:
                _attempt(session, url, part, most, bar)
            except (_BrokenOff, requests.RequestException, urllib3.exceptions.HTTPError) as fault:
                failed = 1 if part.size > furthest else failed + 1
                furthest = max(part.size, furthest)
                if failed == ATTEMPTS:
                    raise StudyError(f"{url}: {fault}; type the command again later, it goes on where it was") from None
                wait = pause * 2 ** (failed - 1)
                bar.write(f"{path.name}: {fault}; the next attempt in {wait:.0f} s", file=sys.stderr)
                time.sleep(wait)
    part.place(path)


def _attempt(session: requests.Session, url: str, part: Part, most: int, bar: tqdm) -> None:
    """Ask once for what lacks and add what comes. Raises _BrokenOff and what the libraries raise where that is not all."""
    headers = {"Accept-Encoding": "identity"}  # a .tgz is stored as it is, not unzipped on the way
    if part.size and part.version and part.version.validator and part.version.length:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.version.validator}
    else:
        part.drop()
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        length = _take_up(answer, part, url)
        if length is not None and length > most:
            part.drop()
            raise StudyError(f"{url}: is {length:,} bytes long, at most {most:,} are expected; look what lies there now")
        bar.total, bar.n = length, part.size
        with part.path.open("ab") as file:
            for piece in answer.raw.stream(PIECE, decode_content=False):
                if file.tell() + len(piece) > (most if length is None else length):
                    break
                file.write(piece)
                bar.update(len(piece))
            else:
                part.end(file.tell(), length, url)
                return
    part.drop()
    if length is None:
        raise StudyError(f"{url}: goes on past {most:,} bytes; look what lies there now")
    raise _BrokenOff(f"the server sent more than the {length:,} bytes that it announced")


def _take_up(answer: requests.Response, part: Part, url: str) -> int | None:
    """Make the part fit what the answer brings, the rest of its version or a file from its start.

    Returns the whole file's length in bytes; None where only the end of the answer will tell (a chunked one).
    Raises _BrokenOff where another attempt may help, StudyError where none will.
    """
    status = answer.status_code
    if url.startswith("https:") and not answer.url.startswith("https:"):
        raise StudyError(f"{url}: leads to {answer.url}, which anybody on the way can alter; fetch it by hand if you trust it")
    if status == 206 and part.version and _goes_on(answer, part.size, part.version):
        return part.version.length
    if status in (206, 416):
        part.drop()
        raise _BrokenOff("the server no longer has the rest of what came before")
    if status in AGAIN:
        raise _BrokenOff(f"the server answers {status} {answer.reason}")
    if status != 200:
        raise StudyError(f"{url}: the server answers {status} {answer.reason}; look where the file lies now")
    length = _number(answer.headers.get("Content-Length"))
    if length is None and answer.headers.get("Transfer-Encoding") != "chunked":
        raise StudyError(f"{url}: the server does not say how long it is, a cut would go unseen; fetch it by hand")
    part.start(Version(url, _validator(answer), length))
    return length


def _goes_on(answer: requests.Response, size: int, version: Version) -> bool:
    """Whether a 206 starts where `size` bytes ended and is of the same version, length included."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""), re.ASCII)
    if not found:
        return False
    first, last, length = map(int, found.groups())
    same = _validator(answer) in (None, version.validator) and length == version.length
    return same and first == size and first <= last < length


def _validator(answer: requests.Response) -> str | None:
    """What If-Range may name: a strong ETag (a weak one, W/, vouches for no bytes), else the time of the last change."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d+", text, re.ASCII) else None
