"""The cost of similar pairs: from the tracks of a million photos, and compared with a plain loop over points.

    python performance/pairs.py [PHOTOS]

Writes reports/pairs_scale.json, in minutes on 2 cores for a million photos (the default). The tracks are made up: models of
1,000 photos on a line. Each point has a random place on the line, and each of the 17 photos nearest to it sees it with
probability 1/2. So a photo sees about 20 points, and about 8 photos see a point. Scales are between 1 and 2. Photos that see more
points cost more: those of the default study see 127 on average, and 4 photos see a point. The comparison has a row with as many
points a photo.

Drawing and pairing run in processes of their own. Peak memory counts Python, its libraries and the tables; `before_mb` is the
memory before pairing. The plain loop is that of hloc's pairs_from_covisibility.py, a dictionary of counts for each photo. Its
dictionaries of points are made before the clock starts, it applies our rule, and it alternates with our function. `ratio`
compares processor time; `pairs_s` is wall time, `processor_s` processor time, and `load` the machine's load at the start.
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from medians import alone, medians, peak_mb

from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.pairs.covisibility import similar_pairs
from bcdh_lib.study import find_root

MODEL, REACH, POINTS = 1000, 8, 20
"""Photos a model, photos to either side of the nearest that may see a point, points a photo."""
BESIDE, BESIDE_POINTS, RUNS = 10_000, (POINTS, 127), 3
"""Photos, points a photo and timings of the comparison."""
MIN_SHARED, MAX_SCALE_CHANGE = 0.2, 1.5
"""Those of params.yaml."""


def draw(photos: int, points_a_photo: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `tracks` and `registrations` of a made-up reconstruction, sorted and typed as the real ones are."""
    generator = np.random.default_rng(0)
    reach = np.arange(-REACH, REACH + 1, dtype=np.int32)
    nearest = np.sort(generator.integers(0, photos, 2 * points_a_photo * photos // len(reach), np.int32))
    model = nearest // MODEL
    point_id = model * np.int64(2**32) + np.arange(len(nearest)) - np.searchsorted(model, model)
    seen = []
    for offset in reach:
        photo_id = nearest + offset
        sees = (photo_id // MODEL == model) & (photo_id < photos) & (generator.random(len(nearest), np.float32) < 0.5)
        seen.append(pd.DataFrame({"photo_id": photo_id[sees], "point_id": point_id[sees]}))
    tracks = pd.concat(seen, ignore_index=True).sort_values("photo_id", kind="stable", ignore_index=True)
    photo_id, scale = np.arange(photos, dtype=np.int32), generator.uniform(1, 2, photos)
    columns = {"photo_id": photo_id, "model_id": photo_id // MODEL, "group_id": photo_id // MODEL, "scale": scale}
    return tracks, pd.DataFrame({**columns, "n_points": np.bincount(tracks.photo_id, minlength=photos).astype(np.int32)})


def draw_tables(folder: Path, photos: int) -> dict[str, Any]:
    """Write the tables, and count what is in them."""
    tracks, registrations = draw(photos, POINTS)
    write_table(folder, "tracks", tracks)
    write_table(folder, "registrations", registrations)
    points = tracks.point_id.nunique()
    return {
        "photos": photos,
        "models": registrations.model_id.nunique(),
        "observations": len(tracks),
        "points": points,
        "points_a_photo": round(len(tracks) / photos, 1),
        "photos_a_point": round(len(tracks) / points, 1),
    }


def pair_tables(folder: Path) -> dict[str, Any]:
    """Seconds and memory of the pairs of the tables."""
    tracks, registrations = read_table(folder, "tracks"), read_table(folder, "registrations")
    before, began, worked = peak_mb(), perf_counter(), process_time()
    pairs = similar_pairs(tracks, registrations, MIN_SHARED, MAX_SCALE_CHANGE)
    return {
        "pairs": len(pairs),
        "pairs_s": round(perf_counter() - began, 1),
        "processor_s": round(process_time() - worked, 1),
        "before_mb": before,
        "peak_mb": peak_mb(),
    }


def plain_pairs(points_of: dict[int, np.ndarray], seen_by: dict[int, np.ndarray], scale: np.ndarray) -> np.ndarray:
    """Query, positive and shared points of every similar pair, sorted, int [pairs, 3], by a loop over each photo's points."""
    found = []
    for photo, points in points_of.items():
        shared: dict[int, int] = defaultdict(int)
        for point in points:
            for other in seen_by[point]:
                if other != photo:
                    shared[other] += 1
        for other in sorted(shared):
            change = max(scale[photo] / scale[other], scale[other] / scale[photo])
            if shared[other] > MIN_SHARED * len(points) and change <= MAX_SCALE_CHANGE:
                found.append((photo, other, shared[other]))
    return np.array(found).reshape(-1, 3)


def compare(photos: int, points_a_photo: int) -> dict[str, Any]:
    """Seconds of our pairs and of the plain loop's, and whether they are the same."""
    tracks, registrations = draw(photos, points_a_photo)
    points_of = {photo: rows.to_numpy() for photo, rows in tracks.groupby("photo_id").point_id}
    seen_by = {point: rows.to_numpy() for point, rows in tracks.groupby("point_id").photo_id}
    ours = partial(similar_pairs, tracks, registrations, MIN_SHARED, MAX_SCALE_CHANGE)
    plain = partial(plain_pairs, points_of, seen_by, registrations.scale.to_numpy())
    seconds = medians({"ours": ours, "plain": plain}, RUNS, process_time)
    return {
        "photos": photos,
        "points_a_photo": round(len(tracks) / photos, 1),
        "photos_a_point": round(len(tracks) / len(seen_by), 1),
        **{f"{name}_s": round(taken, 3) for name, taken in seconds.items()},
        "ratio": round(seconds["plain"] / seconds["ours"], 1),
        "same_pairs": np.array_equal(ours()[["query_id", "positive_id", "shared_points"]].to_numpy(), plain()),
    }


def measure(photos: int) -> dict[str, Any]:
    """All figures for so many photos."""
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="bcdh-") as place:
        whole = {**alone(draw_tables, Path(place), photos), **alone(pair_tables, Path(place))}
    return {**whole, "load": load, "runs": RUNS, "beside": [compare(BESIDE, points) for points in BESIDE_POINTS]}


if __name__ == "__main__":
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    write_json(find_root() / "reports/pairs_scale.json", figures)
    print(json.dumps(figures, indent=2))
