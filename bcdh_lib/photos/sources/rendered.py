"""The collection that the study renders for itself, and three rendered benchmarks of landmarks that it never shows.

The benchmarks have the files of Oxford5k, Paris6k and Holidays. Every place descends from (seed, part of the study, number),
every photo from its place and its own number. So equal settings give equal bytes, for any number of processes.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from bcdh_lib.core.files import write_json
from bcdh_lib.core.imports import import_open3d
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params
from bcdh_lib.photos.scene.camera import Seen, photograph
from bcdh_lib.photos.scene.facades import Rng
from bcdh_lib.photos.scene.places import build_place
from bcdh_lib.study import Study

QUERY = 0.35  # share of the landmark that a photo meant as a query shows at least
SHARP = 320  # px of width that surfaces of sharpness 1 are painted for
GOOD, OK = 0.6, 0.25  # least share of the landmark in a photo called good, and in one called ok
PHOTOS_PER_DISTRACTOR = 5  # photos of a place among the distractors
FIRST_GROUP = 1000  # of rendered_holidays, whose photos are named group * 100 + number in the group

Series = IntEnum("Series", "COLLECTION STRAYS OXFORD OXFORD_DISTRACTORS PARIS PARIS_DISTRACTORS HOLIDAYS", start=0)
"""What a place is for. Each series has its own random numbers, so no two share a place."""


class PlacePlan(NamedTuple):
    """A place, and the photos to render there."""

    series: Series
    number: int
    files: tuple[Path, ...]
    landmark: bool = True
    queries: int = 0  # the first photos, which show enough of the landmark for a query


class OxfordForm(NamedTuple):
    """What differs between the two benchmarks of Oxford's form."""

    landmarks: Series
    distractors: Series
    city: str  # begins the photos' names
    prefix: str  # of a query's photo in its ground truth file, as published


OXFORD_FORMS = {
    "rendered_oxford": OxfordForm(Series.OXFORD, Series.OXFORD_DISTRACTORS, "oxford", "oxc1_"),
    "rendered_paris": OxfordForm(Series.PARIS, Series.PARIS_DISTRACTORS, "paris", ""),
}


def photos_of(study: Study) -> Path:
    """Render the collection with its truth, and the benchmarks; they replace those of an earlier run.

    A killed run continues from its finished places. Raises StudyError if the ray caster's system libraries are missing.
    """
    params = study.params
    unfinished = study.unfinished("rendered", params.rendered, [], __name__)
    workshop = Study(unfinished, params)  # everything is rendered in there, and moved once it is complete
    benchmarks = plan_benchmarks(params, workshop.rendered_benchmarks)
    outputs = [workshop.rendered_pool, workshop.truth.parent, *(workshop.rendered_benchmarks / name for name in benchmarks)]
    finals = [study.base("photos") / output.relative_to(unfinished) for output in outputs]
    moved = unfinished / "moved"
    if moved.is_file() and all(final.is_dir() for final in finals):  # the run was killed after rendering
        return study.rendered_pool
    collection = plan_collection(params, workshop.rendered_pool)
    plans = [*collection, *(plan for plans in benchmarks.values() for plan in plans)]
    photos = render_places(plans, params, unfinished / "records")
    truth = [(path.name, f"landmark_{plan.number:03d}" if plan.landmark else None) for plan in collection for path in plan.files]
    write_table(workshop.truth.parent, workshop.truth.stem, pd.DataFrame(truth, columns=["path", "landmark"]))
    for name, form in OXFORD_FORMS.items():
        for plan in benchmarks[name]:
            if plan.series == form.landmarks:
                shown = {path.stem: photos[path] for path in plan.files}
                folder = workshop.rendered_benchmarks / name / "groundtruth"
                write_ground_truth(folder, shown, form.prefix, params.rendered.queries_per_landmark)
    for output, final in zip(outputs, finals, strict=True):
        shutil.rmtree(final, ignore_errors=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        output.rename(final)
    moved.touch()
    return study.rendered_pool


def plan_collection(params: Params, folder: Path) -> list[PlacePlan]:
    """The places of the collection: landmarks with several photos each, and strays; names tell nothing of the place."""
    settings, seed = params.rendered, params.run.seed

    def files(series: Series, number: int, count: int) -> tuple[Path, ...]:
        names = [hashlib.sha256(repr((seed, int(series), number, k)).encode()).hexdigest()[:16] for k in range(count)]
        return tuple(folder / f"{name}.jpg" for name in names)

    photos = settings.photos_per_landmark
    landmarks = [PlacePlan(Series.COLLECTION, k, files(Series.COLLECTION, k, photos)) for k in range(settings.landmarks)]
    strays = [PlacePlan(Series.STRAYS, k, files(Series.STRAYS, k, 1), landmark=False) for k in range(settings.strays)]
    return landmarks + strays


def plan_benchmarks(params: Params, folder: Path) -> dict[str, list[PlacePlan]]:
    """Places and photos of each benchmark; `folder` holds a folder for each."""
    plans = {name: plan_oxford(form, params, folder / name) for name, form in OXFORD_FORMS.items()}
    return plans | {"rendered_holidays": plan_holidays(params, folder / "rendered_holidays")}


def plan_oxford(form: OxfordForm, params: Params, folder: Path) -> list[PlacePlan]:
    """Landmarks whose photos are named after them, then distractors: half of them a few to a place, half without a landmark."""
    settings, images = params.rendered, folder / "images"
    plans = []
    for number in range(settings.benchmark_landmarks):
        names = (f"{form.city}_landmark_{number:02d}_{k:06d}.jpg" for k in range(settings.photos_per_benchmark_landmark))
        files = tuple(images / name for name in names)
        plans.append(PlacePlan(form.landmarks, number, files, queries=settings.queries_per_landmark))
    files = tuple(images / f"{form.city}_{k:06d}.jpg" for k in range(settings.distractors))
    starts = range(0, len(files) // 2, PHOTOS_PER_DISTRACTOR)
    plans += [PlacePlan(form.distractors, k, files[i : i + PHOTOS_PER_DISTRACTOR]) for k, i in enumerate(starts)]
    strays = enumerate(files[len(starts) * PHOTOS_PER_DISTRACTOR :], start=len(starts))
    return plans + [PlacePlan(form.distractors, k, (file,), landmark=False) for k, file in strays]


def plan_holidays(params: Params, folder: Path) -> list[PlacePlan]:
    """Groups of 3 to 5 photos, each of its own landmark; the first of a group, whose name divides by 100, is the query."""
    plans = []
    for group in range(params.rendered.holidays_groups):
        count = 3 + int(random_numbers(params.run.seed, Series.HOLIDAYS, group, 0).integers(3))
        files = tuple(folder / f"images/{(FIRST_GROUP + group) * 100 + k:06d}.jpg" for k in range(count))
        plans.append(PlacePlan(Series.HOLIDAYS, group, files, queries=count - 1))
    return plans


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


def write_ground_truth(folder: Path, photos: Mapping[str, Seen], prefix: str, most: int) -> None:
    """Four files a query of one landmark, in the form of the Oxford buildings benchmark (Philbin et al., CVPR 2007).

    good: the photo shows GOOD of the landmark or more; ok: more than OK; junk: less; photos that show nothing of it are in no
    file. Queries are the first `most` good or ok photos of a landmark, each with the box around what is seen of it. A landmark
    with one such photo has no query, which would have no positive but itself.
    """
    folder.mkdir(exist_ok=True)
    lists: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
    for name, seen in photos.items():
        if seen.share:
            lists["good" if seen.share >= GOOD else "ok" if seen.share > OK else "junk"].append(name)
    shown = [(name, seen.box) for name, seen in photos.items() if seen.share > OK and seen.box]
    landmark = next(iter(photos)).rpartition("_")[0]
    for k, (query, box) in enumerate(shown[:most] if len(shown) > 1 else [], start=1):
        lines = {"query": [f"{prefix}{query} {' '.join(f'{side:.1f}' for side in box)}"], **lists}
        for name, listed in lines.items():
            (folder / f"{landmark}_{k}_{name}.txt").write_text("".join(f"{line}\n" for line in listed))
