"""Two photos from keypoints to verified matches, as COLMAP finds them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from numpy.typing import NDArray

from bcdh_lib.report.figures.display import PhotoPicture
from bcdh_lib.report.figures.pairs import mark_points
from bcdh_lib.report.figures.sheets import Sheet
from bcdh_lib.report.figures.style import PAGE


@dataclass(frozen=True)
class Matched:
    """Keypoints [n, 2] (px) of two photos; rows of matches and of verified matches, [m, 2]: keypoint of one, of the other."""

    paths: tuple[Path, Path]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    matches: NDArray[np.int64]
    verified: NDArray[np.int64]


def strong_pair(candidates: pd.DataFrame) -> tuple[int, int]:
    """The pair of photos with the median number of verified matches, of those that have at least 30."""
    good = candidates[candidates["inliers"] >= 30]
    row = (good if len(good) else candidates).sort_values("inliers", kind="stable").iloc[len(good) // 2]
    return int(row["photo_id"]), int(row["other_id"])


def match_photos(one: Path, other: Path) -> Matched:
    """SIFT keypoints of two photos, their matches, and the matches that one camera geometry explains; a few seconds."""
    pycolmap.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        names = ["0.jpg", "1.jpg"]
        for name, path in zip(names, (one, other), strict=True):
            os.symlink(path.resolve(), f"{folder}/{name}")
        extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
        extraction.num_threads = matching.num_threads = 1
        pycolmap.extract_features(f"{folder}/db", folder, names, extraction_options=extraction, device=pycolmap.Device.cpu)
        pycolmap.match_exhaustive(f"{folder}/db", matching_options=matching, device=pycolmap.Device.cpu)
        with pycolmap.Database.open(f"{folder}/db") as database:
            ids = [image.image_id for image in map(database.read_image_with_name, names) if image]
            places = [np.asarray(database.read_keypoints(number))[:, :2].astype(float) for number in ids]
            matches = np.asarray(database.read_matches(*ids)).reshape(-1, 2).astype(np.int64)
            geometry = database.read_two_view_geometry(*ids)
    verified = np.asarray(geometry.inlier_matches).reshape(-1, 2).astype(np.int64)
    return Matched((one, other), places[0], places[1], matches, verified)


def keypoints_and_matches(pair: Matched) -> PhotoPicture:
    """Above, both photos with all keypoints; below, with the verified matches, some of them joined by lines."""
    gap, wide = 0.12, (PAGE - 0.22) / 2
    high = 0.75 * wide
    sheet = Sheet(2 * high + 3 * gap)
    everything = np.arange(len(pair.first)), np.arange(len(pair.second))
    verified = pair.verified[:, 0], pair.verified[:, 1]
    for row, (rows, lines) in enumerate(((everything, 0), (verified, 25))):
        top = gap + row * (high + gap)
        corners = [sheet.photo(path, (0.05 + side * (wide + gap), top, wide, high)) for side, path in enumerate(pair.paths)]
        mark_points(sheet, (pair.first[rows[0]], pair.second[rows[1]]), *corners, lines=lines)
    alt = (
        f"Two photos: above their {len(pair.first):,} and {len(pair.second):,} keypoints, below the {len(pair.verified)} "
        f"of {len(pair.matches)} matches that one camera geometry explains."
    )
    return PhotoPicture(sheet.figure, alt)
