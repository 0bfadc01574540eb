"""The files wanted out of a published .tgz, and nothing anywhere else.

tarfile extracts nothing here: it reads, and the bytes of plain files are copied to places that the caller names. So a member can
write only where the caller lets it. An archive that holds a link, a device, an absolute path or a '..' is refused all the
same: it is not what was published. (tarfile's data filter lets links inside the folder pass and only strips a leading slash,
and Pythons before 3.11.4 lack it.)
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import cast

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line

MEMBERS = 100_000  # the largest published archive holds some 5,000


def unpack(archive: Path, folder: Path, place: Callable[[str], str | None], most: int) -> int:
    """Copy members of a .tgz into `folder`; returns how many bytes the archive holds unzipped.

    place: a member's file name -> where it goes, relative to `folder`; None for what is not wanted.
    most: bytes that the archive may hold unzipped, headers and what is not wanted among them.
    Raises StudyError; a damaged archive is removed, so that the next call fetches it anew.
    """
    try:
        with gzip.open(archive) as unzipped:
            stream = _Bounded(cast(gzip.GzipFile, unzipped), archive, most)
            with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
                for number, member in enumerate(tar):
                    _check(member, number, archive)
                    target = place(PureWindowsPath(member.name).name) if member.isfile() else None
                    if target is not None:
                        _copy(tar, member, folder / target)
            while stream.read(1 << 20):
                pass  # gzip's checksum comes at its end, after the last member
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        archive.unlink()
        raise StudyError(
            f"{archive}: is damaged or cut short ({one_line(error)}); it is removed, type the command again to fetch it anew"
        ) from None
    return stream.count


class _Bounded:
    """Reads a file and raises StudyError once it gave more than `most` bytes: a small archive may unzip to any size."""

    def __init__(self, file: gzip.GzipFile, archive: Path, most: int) -> None:
        self._file, self._archive, self._most, self.count = file, archive, most, 0

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.count += len(content)
        if self.count > self._most:
            raise StudyError(
                f"{self._archive}: unzips to more than the {self._most:,} bytes expected; remove it to fetch it anew"
            )
        return content


def _check(member: tarfile.TarInfo, number: int, archive: Path) -> None:
    """Raise StudyError for a member that no published archive has."""
    path = PureWindowsPath(member.name)  # takes both slashes, and drives, for what they are
    if path.anchor or ".." in path.parts:
        fault = "which leads out of the archive's folder"
    elif member.issym() or member.islnk():
        fault = "which is a link"
    elif not (member.isfile() or member.isdir()):
        fault = "which is neither a file nor a folder"
    elif number >= MEMBERS:
        fault = f"its {number + 1:,}th member"
    else:
        return
    raise StudyError(f"{archive}: holds '{one_line(member.name)}', {fault}; nothing of it is used, remove it to fetch it anew")


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None  # a plain file always has content
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
