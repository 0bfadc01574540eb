"""Photos of rendered places, in parallel processes; a killed run continues from its finished places.

Every place descends from (seed, part of the study, number), every photo from its place and its own number. So equal settings
give equal bytes, for any number of processes.
"""

import json
from collections.abc import Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from bcdh_lib.core.files import write_json
from bcdh_lib.core.imports import import_open3d
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.params import Params
from bcdh_lib.photos.scene.camera import Seen, photograph
from bcdh_lib.photos.scene.facades import Rng
from bcdh_lib.photos.scene.places import build_place

QUERY = 0.35  # share of the landmark that a photo meant as a query shows at least
SHARP = 320  # px of width that surfaces of sharpness 1 are painted for


Series = IntEnum("Series", "COLLECTION STRAYS OXFORD OXFORD_DISTRACTORS PARIS PARIS_DISTRACTORS HOLIDAYS", start=0)
"""What a place is for. Each series has its own random numbers, so no two share a place."""


class PlacePlan(NamedTuple):
    """A place, and the photos to render there."""

    series: Series
    number: int
    files: tuple[Path, ...]
    landmark: bool = True
    queries: int = 0  # the first photos, which show enough of the landmark for a query


def random_numbers(seed: int, series: Series, number: int, photo: int) -> Rng:
    """The random numbers of a place (photo 0) or of its photos (1, 2, ..)."""
    return np.random.default_rng([seed, series, number, photo])


def render_places(plans: Sequence[PlacePlan], params: Params, records: Path) -> dict[Path, Seen]:
    """Render all photos that are not finished, in run.threads processes; `records` notes what each finished photo shows.

    Raises StudyError if the ray caster's system libraries are missing.
    """
    import_open3d()  # fails here, with one message, instead of in every worker
    for folder in {path.parent for plan in plans for path in plan.files}:
        folder.mkdir(parents=True, exist_ok=True)
    photos: dict[Path, Seen] = {}
    missing: list[PlacePlan] = []
    for plan in plans:
        record = _record(plan, records)
        if record.is_file() and all(path.is_file() for path in plan.files):
            photos |= {path: Seen(*seen) for path, seen in zip(plan.files, json.loads(record.read_text()), strict=True)}
        else:
            missing.append(plan)
    work = partial(render_place, params=params, records=records)
    with tqdm(total=sum(len(plan.files) for plan in plans), initial=len(photos), desc="rendering", unit="photo") as bar:
        for shown in side_by_side(work, sorted(missing, key=lambda plan: -len(plan.files)), params.run.threads):
            photos |= shown
            bar.update(len(shown))
    return photos


def render_place(plan: PlacePlan, params: Params, records: Path) -> dict[Path, Seen]:
    """Build one place and render its photos; the record is written last."""
    seed, width, height = params.run.seed, params.rendered.width, params.rendered.height
    place = build_place(random_numbers(seed, plan.series, plan.number, 0), plan.landmark, min(width / SHARP, 2.0))
    photos = {}
    for k, path in enumerate(plan.files):
        rng = random_numbers(seed, plan.series, plan.number, k + 1)
        photo = photograph(rng, place, width, height, QUERY if k < plan.queries else 0.0)
        Image.fromarray(photo.pixels).save(path, quality=photo.quality)
        photos[path] = photo.seen
    write_json(_record(plan, records), list(photos.values()))
    return photos


def _record(plan: PlacePlan, records: Path) -> Path:
    return records / f"{plan.series:d}-{plan.number}.json"
