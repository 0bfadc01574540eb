"""Lists of files that others put in place, so that DVC and the photos step notice changes without reading them.

data/listing.txt lists photos.folder, data/published.txt the benchmarks that the study did not render. After a heading, a line
holds a file's path, size (bytes) and modification time (ns).
"""

import os
from collections.abc import Iterable
from pathlib import Path

from bcdh_lib.core.files import write_bytes
from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.sources import source_of
from bcdh_lib.study import Study


def write_listing(study: Study) -> Path:
    """Write data/listing.txt, and return its path."""
    listing = study.base("photos") / "data/listing.txt"
    content = list_collection(study)
    if not (listing.is_file() and listing.read_bytes() == content):
        write_bytes(listing, content)
    return listing


def list_collection(study: Study) -> bytes:
    """The listing of the source's folder, without a file if the study renders its photos. Raises StudyError."""
    photos_of = source_of(study)
    if study.params.photos.source == "rendered":
        return _listing(study.root, [])
    folder = photos_of(study)
    return _listing(folder, find_files(folder, study.params.photos.exclude)[0].values())


def list_published(study: Study) -> bytes:
    """The listing of the benchmarks that the study did not render."""
    rendered = study.benchmarks.glob("rendered_*")
    folders = {each for each in study.benchmarks.glob("*") if each.is_dir()} - {*rendered, study.benchmarks / "archives"}
    return _listing(study.benchmarks, (file for folder in folders for file in find_files(folder)[0].values()))


def _listing(folder: Path, files: Iterable[Path]) -> bytes:
    lines = []
    for file in files:
        try:
            status = file.stat()  # of a link's target, which may change
        except OSError:
            status = file.lstat()
        lines.append(b"%r %d %d\n" % (os.fsencode(file.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return b"# path, size (bytes), time of change (ns)\n" + b"".join(sorted(lines))  # DVC warns of empty files
