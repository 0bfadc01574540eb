"""What lies in photos.folder, as a file that DVC can compare: `python -m bcdh_lib.photos.listing` writes data/listing.txt.

DVC tracks what the study makes, not a stranger's folder elsewhere. A line a file (path, bytes, time of its last change) tells
it when photos came, went or changed, without reading them.
"""

from __future__ import annotations

import os
import sys

from bcdh_lib.params import ParamsError
from bcdh_lib.photos.folder import PhotosError, find_files, locate
from bcdh_lib.study import Study, open_study
from bcdh_lib.tables import write_bytes


def list_pile(study: Study) -> bytes:
    """A line a file of photos.folder, sorted; empty for the rendered pile. Raises PhotosError where there is no such folder."""
    if study.params.photos.source != "folder":
        return b""
    folder = locate(study)
    lines = []
    for file in find_files(folder)[0].values():
        status = os.lstat(file)
        lines.append(b"%r %d %d\n" % (os.fsencode(file.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return b"".join(sorted(lines))


def main() -> int:
    """The command line; returns the exit code."""
    try:
        study = open_study()
        write_bytes(study.root / "data/listing.txt", list_pile(study))
    except (PhotosError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
