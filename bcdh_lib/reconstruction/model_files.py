"""COLMAP's models on disk, opened only where they are whole: COLMAP takes the counts in a damaged file at their word.

A model of today's COLMAP is five files of little-endian numbers; one from before rigs has three. With a count of 2^62 in one of
them COLMAP reads on for hours; so each file is walked first, and must end where its counts say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line
from bcdh_lib.reconstruction.colmap import colmap


class _Walk:
    """A place in the bytes of a file, which moves on with each read. Raises struct.error past their end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def read(self, form: str) -> tuple[Any, ...]:
        read = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return read

    def skip(self, count: int, size: int) -> None:
        """Move past `count` records of `size` bytes."""
        if count * size > len(self.content) - self.at:
            raise struct.error(f"it announces {count:,} records of {size} bytes where fewer follow")
        self.at += count * size


def _camera(walk: _Walk) -> None:
    _, model, _, _ = walk.read("IiQQ")
    walk.skip(_params(model), 8)


@cache
def _params(model: int) -> int:
    """Parameters that a camera of this model has. Raises ValueError where there is no such model."""
    name = pycolmap.CameraModelId(model).name
    return len(pycolmap.Camera.create_from_model_name(1, name, 1.0, 1, 1).params)


def _rig(walk: _Walk) -> None:
    _, sensors = walk.read("II")
    for number in range(sensors):
        walk.read("iI")
        if number and walk.read("B") != (0,):
            walk.skip(7, 8)


def _frame(walk: _Walk) -> None:
    *_, sensors = walk.read("II7dI")
    walk.skip(sensors, 16)


def _image(walk: _Walk) -> None:
    walk.read("I7dI")
    walk.at = walk.content.index(b"\0", walk.at) + 1  # the end of its name
    (seen,) = walk.read("Q")
    walk.skip(seen, 24)


def _point(walk: _Walk) -> None:
    *_, seen = walk.read("Q3d3BdQ")
    walk.skip(seen, 8)


RECORDS: dict[str, Callable[[_Walk], None]] = {
    "cameras.bin": _camera,
    "images.bin": _image,
    "points3D.bin": _point,
    "rigs.bin": _rig,
    "frames.bin": _frame,
}


def open_model(folder: Path) -> pycolmap.Reconstruction:
    """The model in `folder`, of finite numbers, its photos seeing none but its points. Raises StudyError."""
    for name, record in RECORDS.items():
        if (folder / name).is_file() or name in ("cameras.bin", "images.bin", "points3D.bin"):
            _check(folder / name, record)
    with colmap(f"reading the model in {folder}"):
        model = pycolmap.Reconstruction(folder)
        _check_contents(model)
    return model


def _check(path: Path, record: Callable[[_Walk], None]) -> None:
    """Raise StudyError where a file does not end where its counts say."""
    try:
        walk = _Walk(path.read_bytes())
        (count,) = walk.read("Q")
        for _ in range(count):
            record(walk)
        if walk.at != len(walk.content):
            raise ValueError(f"{len(walk.content) - walk.at:,} bytes follow its {count:,} records")
    except (OSError, ValueError, struct.error) as error:
        raise StudyError(
            f"{path}: is no part of a model ({one_line(error)}); make it anew with: dvc repro reconstruction"
        ) from None


def _check_contents(model: pycolmap.Reconstruction) -> None:
    """Raise ValueError where the model cannot be measured in."""
    known = set(model.points3D)
    if not all(np.isfinite(point.xyz).all() for point in model.points3D.values()):
        raise ValueError("a point is nowhere")
    for number in model.reg_image_ids():
        image = model.image(number)
        if not np.isfinite(image.cam_from_world().matrix()).all() or image.camera_id not in model.cameras:
            raise ValueError(f"{image.name!r}: its camera is nowhere")
        if not {point.point3D_id for point in image.get_observation_points2D()} <= known:
            raise ValueError(f"{image.name!r}: sees points that are not there")
