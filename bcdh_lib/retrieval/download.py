"""Downloads a published benchmark: `make benchmarks NAME=oxford5k` puts it into data/benchmarks/oxford5k.

Archives are cached in data/benchmarks/archives: the revisited benchmarks share their photos with the original ones, and files
downloaded by hand may be put there under their published names. A benchmark appears only once it is complete: it is unpacked in
archives/, read with its protocol's reader, counted, and then renamed. No publisher gives checksums for these files, so the
sha256 found first is recorded in data/benchmarks/SHA256SUMS (`sha256sum -c` reads it), and a different file is refused later.
"""

import argparse
import gzip
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path, PureWindowsPath

import pooch
import requests

from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import write_bytes
from bcdh_lib.retrieval.benchmarks import PUBLISHED
from bcdh_lib.retrieval.benchmarks.form import Form, require_counts
from bcdh_lib.study import Study, open_study

WANTED = {
    "images": re.compile(r"\w+\.jpg", re.ASCII),
    "groundtruth": re.compile(r"\w+_(query|good|ok|junk)\.txt", re.ASCII),
}
"""Folder of the benchmark -> names of the archive's files that go there. Archives differ in their own folders."""
MOST = 10_000_000_000
"""Bytes that one archive may unpack to; the largest published one holds 2.5 GB."""


def download(study: Study, name: str, form: Form, retries: int = 3) -> None:
    """Put the published benchmark `name`, complete, into the study's folder of benchmarks, unless it is there. Raises StudyError.

    retries: further attempts after a connection fails.
    """
    published, target = form.published[name], study.benchmarks / name
    if target.exists():
        print(f"{target}: is there already; remove it to make it again")
        return
    archives = study.benchmarks / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    digests = _read_digests(study.benchmarks)
    files = [_fetch(url, archives, digests, retries) for url in published.urls]
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=archives) as work:
        unfinished = Path(work) / name
        unfinished.mkdir()
        for file in files:
            if file.suffix == ".pkl":
                shutil.copyfile(file, unfinished / file.name)
            else:
                unpack(file, unfinished)
        try:
            require_counts(unfinished, form.read(study, unfinished, form.variants[0]), published)
        except StudyError as error:
            raise StudyError(f"{name}: the downloaded files are not the published benchmark: {error}") from None
        digests |= {f"archives/{file.name}": pooch.file_hash(file) for file in files}
        record = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
        write_bytes(study.benchmarks / "SHA256SUMS", record.encode())
        os.replace(unfinished, target)
    print(f"{target}: {published.photos:,} photos, {published.queries} queries; {archives} may be removed")


def _fetch(url: str, archives: Path, digests: dict[str, str], retries: int) -> Path:
    """The file at `url`, from the cache or downloaded. A download is renamed once complete. Raises StudyError."""
    name = url.rsplit("/", 1)[-1]
    known = digests.get(f"archives/{name}")
    cache = pooch.create(archives, base_url="", registry={name: known}, urls={name: url}, retry_if_failed=retries)
    try:
        return Path(cache.fetch(name, downloader=pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=60)))
    except ValueError:  # pooch's for another hash
        raise StudyError(
            f"{url}: does not have the sha256 {known} of an earlier download; if its publisher changed it, remove its line from "
            f"{archives.parent / 'SHA256SUMS'}"
        ) from None
    except (requests.RequestException, OSError) as error:
        raise StudyError(f"{url}: download failed ({one_line(error)}); try again, or put it into {archives}") from None


def unpack(archive: Path, folder: Path) -> None:
    """Copy the photos and ground truth of a .tgz into `folder`. Nothing is written anywhere else.

    Raises StudyError for a damaged archive, which is removed, and for one with links, devices, absolute paths or '..'.
    """
    size = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PureWindowsPath(member.name)  # reads both kinds of slashes, and drives
                size += member.size
                if path.anchor or ".." in path.parts or not (member.isfile() or member.isdir()) or size > MOST:
                    raise StudyError(
                        f"{archive}: member {one_line(member.name)} is outside its folder, no plain file, or too large; "
                        "remove the archive"
                    )
                kind = next((kind for kind, names in WANTED.items() if names.fullmatch(path.name)), None)
                if kind and (source := tar.extractfile(member)):
                    (folder / kind).mkdir(exist_ok=True)
                    with source, (folder / kind / path.name).open("wb") as file:
                        shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        archive.unlink()
        raise StudyError(f"{archive}: is damaged ({one_line(error)}) and was removed; run the command again") from None


def _read_digests(benchmarks: Path) -> dict[str, str]:
    """File, relative to `benchmarks` -> its sha256 as an earlier run recorded it."""
    record = benchmarks / "SHA256SUMS"
    try:
        lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    except UnicodeDecodeError:
        raise StudyError(f"{record}: is not text; remove it to accept the archives as they are") from None
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines) if file}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 if the benchmark is there, 1 if it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bcdh_lib.retrieval.download", description="Download a published benchmark.")
    parser.add_argument("name", choices=sorted(PUBLISHED))
    options = parser.parse_args(arguments)
    return exit_code(
        lambda: download(open_study(), options.name, PUBLISHED[options.name]),
        "stopped; the same command starts again",
        (StudyError, OSError),
    )


if __name__ == "__main__":
    sys.exit(main())
