"""Three benchmarks of rendered landmarks that the collection never shows, in the files of Oxford5k, Paris6k and Holidays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bcdh_lib.params import Params
from bcdh_lib.photos.rendering import PlacePlan, RenderedPhoto, Series, random_numbers

GOOD, OK = 0.6, 0.25  # least share of the landmark in a photo called good, and in one called ok
PHOTOS_PER_DISTRACTOR = 5  # photos of a place among the distractors
FIRST_GROUP = 1000  # of rendered_holidays, whose photos are named group * 100 + number in the group


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


def write_ground_truths(
    plans: Mapping[str, Sequence[PlacePlan]], photos: Mapping[Path, RenderedPhoto], most: int, to: Path
) -> None:
    """groundtruth/ of the benchmarks of Oxford's form in `to`, with up to `most` queries a landmark."""
    for name, form in OXFORD_FORMS.items():
        folder = to / name / "groundtruth"
        folder.mkdir(exist_ok=True)
        for plan in plans[name]:
            if plan.series == form.landmarks:
                write_ground_truth(folder, [photos[path] for path in plan.files], form.prefix, most)


def write_ground_truth(folder: Path, photos: Sequence[RenderedPhoto], prefix: str, most: int) -> None:
    """Four files a query of one landmark, in the form of the Oxford buildings benchmark (Philbin et al., CVPR 2007).

    good: the photo shows GOOD of the landmark or more; ok: more than OK; junk: less; photos that show nothing of it are in no
    file. Queries are the first `most` good or ok photos of a landmark, each with the box around what is seen of it. A landmark
    with one such photo has no query, which would have no positive but itself.
    """
    lists: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
    for photo in photos:
        if photo.share:
            lists["good" if photo.share >= GOOD else "ok" if photo.share > OK else "junk"].append(photo.path.stem)
    shown = [(photo.path.stem, photo.box) for photo in photos if photo.share > OK and photo.box]
    landmark = photos[0].path.stem.rpartition("_")[0]
    for k, (query, box) in enumerate(shown[:most] if len(shown) > 1 else [], start=1):
        lines = {"query": [f"{prefix}{query} {' '.join(f'{side:.1f}' for side in box)}"], **lists}
        for name, listed in lines.items():
            (folder / f"{landmark}_{k}_{name}.txt").write_text("".join(f"{line}\n" for line in listed))
