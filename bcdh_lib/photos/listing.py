"""What lies where others put it, as files that DVC can compare: `python -m bcdh_lib.photos.listing`.

It writes data/listing.txt (photos.folder) and data/published.txt (published benchmarks). DVC tracks what the study makes, not
what others bring. A line a file (path, bytes, time of its last change) tells it when files came, went or changed, without
reading them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.photos.folder import find_files, locate
from bcdh_lib.study import Study, open_study


def list_pile(study: Study) -> bytes:
    """A line a file of photos.folder, sorted; empty for the rendered pile. Raises StudyError where there is no such folder."""
    if study.params.photos.source != "folder":
        return b""
    folder = locate(study)
    return _listed(folder, find_files(folder)[0].values())


def list_published(study: Study) -> bytes:
    """A line a file of the benchmarks that the study did not render itself, sorted; empty where there is none."""
    own = study.benchmarks.glob("rendered_*")
    folders = {each for each in study.benchmarks.glob("*") if each.is_dir()} - {*own, study.benchmarks / "archives"}
    return _listed(study.benchmarks, (file for folder in folders for file in find_files(folder)[0].values()))


def _listed(folder: Path, files: Iterable[Path]) -> bytes:
    lines = []
    for file in files:
        status = os.lstat(file)
        lines.append(b"%r %d %d\n" % (os.fsencode(file.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return b"".join(sorted(lines))


def main() -> int:
    """The command line; returns the exit code."""
    try:
        study = open_study()
        write_bytes(study.root / "data/listing.txt", list_pile(study))
        write_bytes(study.root / "data/published.txt", list_published(study))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
