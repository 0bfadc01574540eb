"""The pile of photos that the study makes itself, and three benchmarks of landmarks that the pile never shows.

Everything descends from run.seed: a place from (seed, collection, number), a photo from its place and its own number.
So the same settings give the same bytes, however many processes share the work.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from bcdh_lib.core.files import write_json
from bcdh_lib.core.open3d_import import import_open3d
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.tables import write_table
from bcdh_lib.photos.scene.camera import photograph
from bcdh_lib.photos.scene.facades import Rng
from bcdh_lib.photos.scene.places import build_place
from bcdh_lib.study import Study

GOOD, OK = 0.6, 0.25  # share of the landmark that a photo called good, or ok, shows at least
QUERY = 0.35  # and a photo that may become a query
LOT = 5  # photos a place among the distractors
SHARP = 320  # px of width that surfaces of sharpness 1 are painted for
PREFIXES = {"rendered_oxford": "oxc1_", "rendered_paris": ""}  # of a query's image in its file
FIRST_GROUP = 1000  # of the benchmark of Holidays' form, whose names are group * 100 + place in the group


class Collection(IntEnum):
    """What a place is for. No two collections share a place: each descends from its own random numbers."""

    POOL = 0
    STRAYS = 1
    OXFORD = 2
    OXFORD_DISTRACTORS = 3
    PARIS = 4
    PARIS_DISTRACTORS = 5
    HOLIDAYS = 6


@dataclass(frozen=True)
class Outing:
    """One place, and the photos to take there."""

    collection: Collection
    number: int
    files: tuple[Path, ...]
    landmark: bool = True
    plain: int = 0  # the first of the photos that show the landmark whole enough for a query


@dataclass(frozen=True)
class Taken:
    """A written photo, and how much of the place's landmark it shows."""

    path: Path
    share: float
    box: tuple[float, float, float, float] | None


def random_numbers(seed: int, collection: int, number: int, photo: int) -> Rng:
    """The random numbers of a place (photo 0) or of its photos (1, 2, ..)."""
    return np.random.default_rng([seed, collection, number, photo])


def render(study: Study) -> None:
    """Render the collection with its truth, and the three benchmarks; they replace those of an earlier run.

    A killed run goes on from its finished outings. Raises Open3dError if the ray caster's system libraries are missing.
    """
    params = study.params
    here = study.unfinished("rendered", params.rendered, [], __name__)
    workshop = Study(here, params)  # everything is made in there, and moved once it is complete
    pool, plans = plan_pool(workshop), _plans(workshop)
    benchmarks = {folder: plan(workshop, folder) for folder, plan in plans.items()}
    import_open3d()  # fails here, in one line, rather than in every worker
    taken = _take(workshop, pool + [outing for outings in benchmarks.values() for outing in outings])
    _write_truth(workshop, pool)
    for folder, outings in benchmarks.items():
        if folder.name in PREFIXES:
            own = [outing for outing in outings if outing.collection in (Collection.OXFORD, Collection.PARIS)]
            write_ground_truth(folder / "groundtruth", own, taken, PREFIXES[folder.name], params.rendered.queries_per_landmark)
    for made in (workshop.rendered_pool, workshop.truth.parent, *plans):
        made.mkdir(parents=True, exist_ok=True)
        place = study.base("photos") / made.relative_to(here)
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        made.rename(place)
    study.forget("rendered")


def _take(workshop: Study, outings: Sequence[Outing]) -> dict[Path, Taken]:
    """Go on all outings that are not finished, the long ones first, in run.threads processes."""
    settings, seed = workshop.params.rendered, workshop.params.run.seed
    for folder in {path.parent for outing in outings for path in outing.files}:
        folder.mkdir(parents=True, exist_ok=True)
    taken = {photo.path: photo for outing in outings for photo in _remembered(outing, workshop.root)}
    go = partial(_go, seed=seed, width=settings.width, height=settings.height, folder=workshop.root)
    missing = [outing for outing in outings if not taken.keys() >= set(outing.files)]
    longest_first = sorted(missing, key=lambda outing: -len(outing.files))
    count = sum(len(outing.files) for outing in outings)
    with tqdm(total=count, initial=len(taken), desc="rendering", unit="photo", disable=not outings) as bar:
        for photos in side_by_side(go, longest_first, workshop.params.run.threads):
            taken |= {photo.path: photo for photo in photos}
            bar.update(len(photos))
    return taken


def _record(outing: Outing, folder: Path) -> Path:
    return folder / "taken" / f"{outing.collection:d}-{outing.number}.json"


def _remembered(outing: Outing, folder: Path) -> list[Taken]:
    """The photos of an outing that an earlier run finished; none where it did not, or where a photo is gone since."""
    record = _record(outing, folder)
    if not (record.is_file() and all(path.is_file() for path in outing.files)):
        return []
    photos = json.loads(record.read_text())
    return [Taken(path, share, box and tuple(box)) for path, (share, box) in zip(outing.files, photos, strict=True)]


def _go(outing: Outing, seed: int, width: int, height: int, folder: Path) -> list[Taken]:
    """Build a place and take its photos; the record in `folder` is written last."""
    place = build_place(random_numbers(seed, outing.collection, outing.number, 0), outing.landmark, min(width / SHARP, 2.0))
    taken = []
    for k, path in enumerate(outing.files):
        rng = random_numbers(seed, outing.collection, outing.number, k + 1)
        photo = photograph(rng, place, width, height, QUERY if k < outing.plain else 0.0)
        Image.fromarray(photo.pixels).save(path, quality=photo.quality)
        taken.append(Taken(path, photo.share, photo.box))
    write_json(_record(outing, folder), [(photo.share, photo.box) for photo in taken])
    return taken


def plan_pool(study: Study) -> list[Outing]:
    """The outings whose photos make the pool."""
    settings, seed = study.params.rendered, study.params.run.seed

    def files(collection: Collection, number: int, count: int) -> tuple[Path, ...]:
        names = [hashlib.sha256(repr((seed, int(collection), number, k)).encode()).hexdigest()[:16] for k in range(count)]
        return tuple(study.rendered_pool / f"{name}.jpg" for name in names)

    landmarks = [
        Outing(Collection.POOL, k, files(Collection.POOL, k, settings.photos_per_landmark)) for k in range(settings.landmarks)
    ]
    strays = [Outing(Collection.STRAYS, k, files(Collection.STRAYS, k, 1), landmark=False) for k in range(settings.strays)]
    return landmarks + strays


def _write_truth(study: Study, pool: Sequence[Outing]) -> None:
    rows = [(path.name, f"landmark_{outing.number:03d}" if outing.landmark else None) for outing in pool for path in outing.files]
    write_table(study.truth.parent, study.truth.stem, pd.DataFrame(rows, columns=["path", "landmark"]))


def plan_oxford(collection: Collection, others: Collection, city: str, study: Study, folder: Path) -> list[Outing]:
    """Landmarks with photos named after them, and distractors named after the city: places of a few photos, and strays."""
    settings = study.params.rendered
    count = settings.photos_per_benchmark_landmark
    landmarks = [
        Outing(
            collection,
            k,
            tuple(folder / f"images/{city}_landmark_{k:02d}_{photo:06d}.jpg" for photo in range(count)),
            plain=settings.queries_per_landmark,
        )
        for k in range(settings.benchmark_landmarks)
    ]
    files = [folder / f"images/{city}_{k:06d}.jpg" for k in range(settings.distractors)]
    lots = [tuple(files[k : k + LOT]) for k in range(0, len(files) // 2, LOT)]
    strays = files[sum(len(lot) for lot in lots) :]
    places = [Outing(others, k, lot) for k, lot in enumerate(lots)]
    return landmarks + places + [Outing(others, len(lots) + k, (file,), landmark=False) for k, file in enumerate(strays)]


def plan_holidays(study: Study, folder: Path) -> list[Outing]:
    """Small groups, each of its own landmark; the first photo of a group, its name divisible by 100, is the query."""
    settings = study.params.rendered
    outings = []
    for group in range(settings.holidays_groups):
        count = 3 + int(random_numbers(study.params.run.seed, Collection.HOLIDAYS, group, 0).integers(3))
        names = [f"images/{(FIRST_GROUP + group) * 100 + k:06d}.jpg" for k in range(count)]
        outings.append(Outing(Collection.HOLIDAYS, group, tuple(folder / name for name in names), plain=count - 1))
    return outings


def _plans(study: Study) -> dict[Path, Callable[[Study, Path], list[Outing]]]:
    return {
        study.benchmarks / "rendered_oxford": partial(plan_oxford, Collection.OXFORD, Collection.OXFORD_DISTRACTORS, "oxford"),
        study.benchmarks / "rendered_paris": partial(plan_oxford, Collection.PARIS, Collection.PARIS_DISTRACTORS, "paris"),
        study.benchmarks / "rendered_holidays": plan_holidays,
    }


def write_ground_truth(folder: Path, outings: Sequence[Outing], taken: dict[Path, Taken], prefix: str, most: int) -> None:
    """Four files a query, in the form of the Oxford buildings benchmark (Philbin et al., CVPR 2007).

    good: GOOD of the landmark is seen or more; ok: more than OK; junk: less. What shows nothing of it is in no file.
    Queries are up to `most` good or ok photos of a landmark that have another one, with the box around what is seen of it.
    """
    folder.mkdir(exist_ok=True)
    for outing in outings:
        photos = [taken[path] for path in outing.files]
        lists = {
            "good": [p for p in photos if p.share >= GOOD],
            "ok": [p for p in photos if OK < p.share < GOOD],
            "junk": [p for p in photos if 0 < p.share <= OK],
        }
        shown = lists["good"] + lists["ok"]
        queries = [photo for photo in photos if photo in shown][:most] if len(shown) > 1 else []
        landmark = outing.files[0].stem.rpartition("_")[0]
        for k, query in enumerate(queries, start=1):
            assert query.box is not None
            box = " ".join(f"{side:.1f}" for side in query.box)
            (folder / f"{landmark}_{k}_query.txt").write_text(f"{prefix}{query.path.stem} {box}\n")
            for name, members in lists.items():
                (folder / f"{landmark}_{k}_{name}.txt").write_text("".join(f"{photo.path.stem}\n" for photo in members))
