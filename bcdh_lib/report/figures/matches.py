"""A few photos from keypoints to verified matches to a 3D model that grows, as COLMAP makes it."""

import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
from numpy.typing import NDArray

from bcdh_lib.reconstruction.database import colmap
from bcdh_lib.report.figures.display import PhotoPicture
from bcdh_lib.report.figures.sheets import DOT, Places, Tile, photo_rows
from bcdh_lib.report.figures.style import RED


@dataclass(frozen=True)
class Reconstructed:
    """The first two of a few photos: their keypoints [n, 2] (px), and rows of matches and of verified matches, [m, 2].

    `stages` are the model of all the photos after each camera that was added, from the third on.
    """

    paths: tuple[Path, Path]
    keypoints: tuple[Places, Places]
    matches: NDArray[np.int64]
    verified: NDArray[np.int64]
    stages: list[pycolmap.Reconstruction]


def good_pair(candidates: pd.DataFrame, photos: Collection[int]) -> tuple[int, int]:
    """A pair of these photos: of those with verified matches, the one that has more than a fifth of the others."""
    known = candidates[candidates["photo_id"].isin(photos) & candidates["other_id"].isin(photos) & (candidates["inliers"] > 0)]
    row = known.sort_values("inliers", kind="stable").iloc[len(known) // 5]
    return int(row["photo_id"]), int(row["other_id"])


def reconstruct_few(paths: Sequence[Path], seed: int = 7) -> Reconstructed:
    """Reconstruct a few photos, each matched with each; about half a second a photo."""
    pycolmap.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as folder, colmap(f"reconstructing {len(paths)} photos"):
        names = [path.name for path in paths]
        for path in paths:
            os.symlink(path.resolve(), f"{folder}/{path.name}")
        extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
        extraction.num_threads = matching.num_threads = 1
        verification, mapping = pycolmap.TwoViewGeometryOptions(), pycolmap.IncrementalPipelineOptions()
        mapping.num_threads = mapping.mapper.num_threads = 1
        mapping.multiple_models, mapping.mapper.init_min_num_inliers, mapping.mapper.abs_pose_min_num_inliers = False, 50, 15
        mapping.random_seed = mapping.mapper.random_seed = mapping.triangulation.random_seed = seed
        verification.ransac.random_seed = seed
        mapping.snapshot_path, mapping.snapshot_frames_freq = f"{folder}/stages", 1
        database, cpu = f"{folder}/database.db", pycolmap.Device.cpu
        pycolmap.extract_features(database, folder, names, extraction_options=extraction, device=cpu)
        pycolmap.match_exhaustive(database, matching_options=matching, verification_options=verification, device=cpu)
        for name in ("stages", "models"):
            Path(folder, name).mkdir()
        pycolmap.incremental_mapping(database, folder, f"{folder}/models", mapping)
        stages = [pycolmap.Reconstruction(stage) for stage in sorted(Path(folder, "stages").iterdir())]
        with pycolmap.Database.open(database) as found:
            ids = [image.image_id for image in map(found.read_image_with_name, names[:2]) if image]
            first, second = (np.asarray(found.read_keypoints(number))[:, :2].astype(float) for number in ids)
            matches, geometry = found.read_matches(*ids), found.read_two_view_geometry(*ids)
    pairs, verified = (np.asarray(each).reshape(-1, 2).astype(np.int64) for each in (matches, geometry.inlier_matches))
    return Reconstructed((paths[0], paths[1]), (first, second), pairs, verified, stages)


def keypoints_and_matches(few: Reconstructed) -> PhotoPicture:
    """Two photos three times: all keypoints; the matches, wrong ones red; the verified matches. Lines join up to 40 of them."""
    first, second = few.keypoints
    wrong = few.matches[~(few.matches[:, None] == few.verified).all(2).any(1)]
    words = [(f"{len(first):,} keypoints", f"{len(second):,} keypoints")]
    words += [(f"{len(few.matches)} matches", f"{len(wrong)} are wrong"), (f"{len(few.verified)} verified matches", "")]
    sheet = photo_rows([[Tile(*each) for each in zip(few.paths, row, strict=True)] for row in words], 2)
    sheet.mark((first, second), (0, 0), (0, 1), lines=0)
    for row, rows, colour in ((1, few.verified, DOT), (1, wrong, RED), (2, few.verified, DOT)):
        sheet.mark((first[rows[:, 0]], second[rows[:, 1]]), (row, 0), (row, 1), lines=40, colour=colour)
    said = ", ".join(text for row in words for text in row if text)
    return PhotoPicture(sheet.figure, f"Two photos with {said}, joined by lines.")
