"""A folder of files: walked without what programs and systems keep there, and its paths written as text."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.photos.photo_file import Job, LeftOut

LIBRARIES = ("photoslibrary", "photolibrary", "aplibrary", "migratedphotolibrary", "migratedaplibrary")
"""Endings of the folders of Photos, iPhoto and Aperture: only the originals in them are photos."""
EXCLUDED = (
    *(".*", "@eaDir", "@Recycle", "@Recently-Snapshot", r"\#recycle", r"\#snapshot", "__MACOSX", "iPod Photo Cache", "*.lrdata"),
    *("[$]RECYCLE.BIN", "[$]Recycle.Bin", "System Volume Information", "lost+found", "LOST.DIR", "FOUND.[0-9][0-9][0-9]"),
    *("Network Trash Folder", "Temporary Items", "**/appdata_*/preview"),
    *(f"**/*.{library}/*" for library in LIBRARIES),
    *(f"!**/*.{library}/{originals}" for library in LIBRARIES for originals in ("originals", "Masters")),
)
"""Patterns, as in .gitignore, of hidden files, thumbnails, deleted files and system folders.

photos.exclude adds to them, and takes one back by !PATTERN."""


def path_in_table(path: Path) -> str:
    """A path as one line of valid Unicode without control characters, a different one for each path.

    A backslash is doubled, a newline becomes \\n, each byte of other control characters and of what is not UTF-8 becomes \\xNN.
    """

    def escaped(found: re.Match[str]) -> str:
        return {"\\": r"\\", "\n": r"\n"}.get(found[0]) or "".join(rf"\x{byte:02x}" for byte in os.fsencode(found[0]))

    return re.sub(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", escaped, path.as_posix())


def path_from_table(written: str) -> Path:
    """The path that `path_in_table` wrote."""

    def byte(found: re.Match[bytes]) -> bytes:
        return {b"\\": b"\\", b"n": b"\n"}.get(found[1]) or bytes.fromhex(found[1][1:].decode())

    return Path(os.fsdecode(re.sub(rb"\\(\\|n|x[0-9a-f]{2})", byte, written.encode())))


def exclusion(patterns: Sequence[str] = ()) -> GitIgnoreSpec:
    """EXCLUDED and more patterns, ready to match. Raises StudyError if one is not a pattern of .gitignore."""
    try:
        return GitIgnoreSpec.from_lines([*EXCLUDED, *patterns])
    except (ValueError, re.error) as error:
        raise StudyError(f"photos.exclude: {one_line(error)}; write patterns as in .gitignore") from None


def find_files(folder: Path, exclude: Sequence[str] = ()) -> tuple[dict[str, Path], list[LeftOut]]:
    """Every file in `folder`, at any depth, by its path in the tables, sorted; and what `walk` leaves out."""
    found = list(walk(folder, exclude))
    files = dict(sorted(one for one in found if not isinstance(one, LeftOut)))
    return files, [one for one in found if isinstance(one, LeftOut)]


def walk(folder: Path, exclude: Sequence[str] = ()) -> Iterator[Job | LeftOut]:
    """What `find_files` finds, one by one; in memory are the names of one folder at a time.

    Left out are excluded files and folders, links to folders that are walked anyway, and folders that cannot be read: what is
    in those is unknown. Raises StudyError for a wrong pattern.
    """
    library = folder.resolve().suffix.removeprefix(".") in LIBRARIES
    excluded = exclusion([*(("/*", "!/originals", "!/Masters") if library else ()), *exclude])
    start = len(os.path.join(folder, ""))
    unreadable: list[LeftOut] = []
    seen: set[str] = set()

    def name(path: str) -> str:
        return path_in_table(Path(path).relative_to(folder))

    def note(error: OSError) -> None:
        unreadable.append(LeftOut(name(error.filename), "unreadable", f"folder: {error.strerror}"))

    def pattern(path: str) -> str | None:
        """The pattern that excludes a path (a folder's ends with a slash)."""
        found = excluded.check_file(path[start:])
        return str(excluded.patterns[found.index].pattern) if found.include and found.index is not None else None

    for inside, folders, names in os.walk(folder, onerror=note, followlinks=True):
        if os.path.realpath(inside) in seen:  # through a link, perhaps one to a folder that holds the link
            yield LeftOut(name(inside), "duplicate", "link to a folder that was already walked")
            folders.clear()
            continue
        seen.add(os.path.realpath(inside))
        here = [os.path.join(inside, one) for one in names]
        for path in [*here, *(os.path.join(inside, one, "") for one in folders)]:
            if (excluding := pattern(path)) is not None:
                yield LeftOut(name(path), "excluded", f"{'folder' if path.endswith('/') else 'file'}: {excluding}")
            elif not path.endswith("/"):
                yield name(path), Path(path)
        folders[:] = [one for one in folders if pattern(os.path.join(inside, one, "")) is None]
        folders.sort(key=lambda one: (os.path.islink(os.path.join(inside, one)), one))
    yield from unreadable
