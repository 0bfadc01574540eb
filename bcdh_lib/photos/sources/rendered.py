"""The collection that the study renders for itself, and with it the three rendered benchmarks of other landmarks."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bcdh_lib.core.tables import write_table
from bcdh_lib.params import Params
from bcdh_lib.photos.rendered_benchmarks import plan_benchmarks, write_ground_truths
from bcdh_lib.photos.rendering import PlacePlan, Series, render_places
from bcdh_lib.study import Study


def photos_of(study: Study) -> Path:
    """Render the collection with its truth, and the benchmarks; they replace those of an earlier run.

    A killed run goes on from its finished places. Raises StudyError if the ray caster's system libraries are missing.
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
    write_truth(workshop.truth, collection)
    write_ground_truths(benchmarks, photos, params.rendered.queries_per_landmark, workshop.rendered_benchmarks)
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


def write_truth(table: Path, collection: Sequence[PlacePlan]) -> None:
    """The true landmark of each photo of the collection, as the table `landmarks`."""
    rows = [(path.name, f"landmark_{plan.number:03d}" if plan.landmark else None) for plan in collection for path in plan.files]
    write_table(table.parent, table.stem, pd.DataFrame(rows, columns=["path", "landmark"]))
