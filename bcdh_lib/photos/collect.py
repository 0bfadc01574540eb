"""The photos step: every file of the source becomes an upright copy and a row of photos.parquet, or is left out and counted."""

import contextlib
import json
import os
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter
from tqdm.auto import tqdm

from bcdh_lib import params
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.photos.folder import find_files, path_in_table
from bcdh_lib.photos.listing import write_listing
from bcdh_lib.photos.photo_file import Job, LeftOut, Photo, decode_all, decode_file, state_of, why_none
from bcdh_lib.photos.sources import source_of
from bcdh_lib.study import Study, computes

NOTED = TypeAdapter(Photo)
"""A photo as an unfinished run noted it."""


@computes("photos", inputs=lambda study: [write_listing(study)])
def collect_photos(study: Study) -> None:
    """The photos of photos.source, decoded once and upright, with photos.parquet and left_out.parquet.

    They are numbered in the order of their paths; of equal files or equal pixels, only the first is used. A rendered collection
    is read by the same code as anybody's folder. A killed run continues from its finished photos.
    Raises StudyError if the source is unknown or has no usable photo.
    """
    folder = source_of(study)(study)
    files, left_out = find_files(folder, study.params.photos.exclude)
    unfinished = study.unfinished("photos", (study.params.photos, os.path.abspath(folder)), [], __name__)
    outcomes = _decode_missing(files, study, unfinished)
    photos, duplicates = _distinct([one for one in outcomes if isinstance(one, Photo)])
    left_out += [one for one in outcomes if isinstance(one, LeftOut)] + duplicates
    if not photos:
        raise StudyError(
            f"photos.folder: {path_in_table(folder)} has no usable photo ({why_none(left_out)}); "
            "set photos.folder in params.yaml to a folder with photos"
        )
    if cut := sum(photo.missing_rows > 0 for photo in photos):
        print(f"{cut} JPEGs are cut; they are used without their last rows")
    _publish(study, unfinished, photos, left_out)
    study.forget("rendered")


def _decode_missing(files: dict[str, Path], study: Study, unfinished: Path) -> list[Photo | LeftOut]:
    """The outcome of each file, in order; finished.jsonl in `unfinished` notes finished photos, copies/ holds their copies."""
    copies, notes = unfinished / "copies", unfinished / "finished.jsonl"
    copies.mkdir(exist_ok=True)
    outcomes: dict[str, Photo | LeftOut] = {}
    for line in notes.read_bytes().splitlines() if notes.exists() else []:
        with contextlib.suppress(ValueError, KeyError, OSError):  # the kill cut the line; the file is gone since
            photo = NOTED.validate_json(line, strict=True)
            if photo.state == state_of(os.stat(files[photo.path])) and (copies / photo.sha256).exists():
                outcomes[photo.path] = photo
    jobs = [(path, file) for path, file in files.items() if path not in outcomes]
    work = partial(copy_photo, limits=study.params.photos, copies=copies)
    bar = tqdm(desc="photos", unit="photo", total=len(files), initial=len(outcomes))
    with open(notes, "a", encoding="utf-8") as lines, bar:
        for outcome in decode_all(work, jobs, study.params.run.threads):
            if isinstance(outcome, Photo):
                lines.write(json.dumps(asdict(outcome)) + "\n")
                lines.flush()
            outcomes[outcome.path] = outcome
            bar.update()
    return [outcomes[path] for path in files]


def copy_photo(job: Job, limits: params.Photos, copies: Path) -> Photo | LeftOut:
    """Decode one file, and write its copy as `copies`/<SHA-256 of the file>."""
    outcome = decode_file(job, limits)
    if isinstance(outcome, LeftOut):
        return outcome
    photo, picture = outcome
    part = copies / f"{photo.sha256}.{os.getpid()}.part"
    if picture.as_in_file:
        shutil.copyfile(job[1], part)
    else:
        picture.save(part)
    os.replace(part, copies / photo.sha256)
    return photo


def _distinct(photos: list[Photo]) -> tuple[list[Photo], list[LeftOut]]:
    """The photos, only the first of equal ones, and the others as duplicates."""
    first: dict[str, str] = {}
    distinct, duplicates = [], []
    for photo in photos:
        if photo.sha256 in first:
            duplicates.append(LeftOut(photo.path, "duplicate", f"same file as {first[photo.sha256]}"))
        elif photo.pixels in first:
            duplicates.append(LeftOut(photo.path, "duplicate", f"same pixels as {first[photo.pixels]}"))
        else:
            distinct.append(photo)
            first |= {photo.sha256: photo.path, photo.pixels: photo.path}
    return distinct, duplicates


def _publish(study: Study, unfinished: Path, photos: list[Photo], left_out: list[LeftOut]) -> None:
    """Number the copies, write the tables, and replace the earlier result by one rename."""
    new = unfinished / "photos"
    shutil.rmtree(new, ignore_errors=True)
    (new / "images").mkdir(parents=True)
    for photo_id, photo in enumerate(photos):
        os.rename(unfinished / "copies" / photo.sha256, new / "images" / study.image(photo_id).name)
    rows = pd.DataFrame([asdict(photo) for photo in photos]).drop(columns=["state", "pixels", "missing_rows"])
    write_table(new, "photos", rows.assign(photo_id=range(len(photos)), source=study.params.photos.source))
    write_table(new, "left_out", pd.DataFrame(left_out, columns=list(TABLES["left_out"].columns)))
    shutil.rmtree(study.photos, ignore_errors=True)
    study.photos.parent.mkdir(parents=True, exist_ok=True)
    os.replace(new, study.photos)
