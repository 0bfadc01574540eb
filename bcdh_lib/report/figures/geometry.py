"""A 3D model as geometry to look at: open3d cleans and thins its points, turns it upright, and draws its cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.open3d_import import import_open3d
from bcdh_lib.reconstruction.model_files import open_model
from bcdh_lib.report.figures.labels import counted
from bcdh_lib.report.figures.style import ORANGE

Floats = NDArray[np.float64]
FIELD_OF_VIEW = 45.0  # degrees from bottom to top, of plotly's camera
ASIDE, ABOVE = 22.0, 16.0  # degrees, from where the cameras stand to where the eye stands
ASPECT = 19 / 12  # width by height of the picture
CAMERA = ORANGE
NEIGHBOURS = 16  # by whose distance a stray point is known
FOCAL_LENGTHS = (0.1, 10.0)  # of the photo's longer side: COLMAP's bounds of a camera that can be
CORNERS = 5  # points a camera: its centre, then the corners of what it sees


@dataclass(frozen=True)
class Model:
    """A 3D model made ready to be looked at: upright (z is up), cleaned, thinned; open3d's geometry.

    `cloud` is a PointCloud with colours, `cameras` a LineSet of five points and eight lines a camera (the centre, then the
    corners of what it sees), in the order of `photo_ids`. `points` counts the model's points before cleaning and thinning, `odd`
    the cameras left out for a focal length that no camera has: wherever they are put, they would hide the model or shrink it.
    """

    model_id: int
    cloud: Any
    cameras: Any
    photo_ids: list[int]
    points: int
    odd: int = 0

    def __str__(self) -> str:
        shown = len(self.cloud.points)
        of = f"{shown:,} of its {self.points:,} points" if shown < self.points else f"its {shown:,} points"
        cameras = f"the {len(self.photo_ids):,} cameras that saw them"
        odd = f"; {counted(self.odd, 'camera')} of impossible focal length not drawn" if self.odd else ""
        return f"3D model {self.model_id}: {of} in the colours of their photos, and {cameras}{odd}"


@dataclass(frozen=True)
class View:
    """From where a model is looked at: the eye, the target it looks at, and the half side of a cube around all of it."""

    eye: Floats
    target: Floats
    reach: float

    @property
    def right(self) -> Floats:
        """Unit vector to the right of the picture."""
        right = np.cross([0, 0, 1], self.eye - self.target)
        return right / np.linalg.norm(right)

    @property
    def up(self) -> Floats:
        """Unit vector to the picture's upper side."""
        up = np.cross(self.eye - self.target, self.right)
        return up / np.linalg.norm(up)

    @property
    def pose(self) -> Floats:
        """The eye as a camera, [4, 4]: from the world to x right, y down, z ahead."""
        ahead = self.target - self.eye
        turn = np.stack([self.right, -self.up, ahead / np.linalg.norm(ahead)])
        return np.vstack([np.column_stack([turn, -turn @ self.eye]), [0, 0, 0, 1]])


def read_model(folder: Path, max_points: int = 30_000) -> Model:
    """The model of a folder models/N in COLMAP's format, without its stray points and with at most `max_points` of the others.

    Raises Open3dError where open3d cannot be loaded, StudyError where the folder holds no model with points and cameras.
    """
    open3d = import_open3d()
    try:
        reconstruction = open_model(folder)
    except StudyError as error:
        raise StudyError(f"{folder}: holds no model ({error}); make it with: dvc repro reconstruction") from None
    images = sorted((reconstruction.images[i] for i in reconstruction.reg_image_ids()), key=lambda image: image.name)
    points = list(reconstruction.points3D.values())
    if not (images and points):
        raise StudyError(f"{folder}: the model has {len(images)} photos and {len(points)} points; make it anew")
    poses = np.array([image.cam_from_world().matrix() for image in images])
    turn = upright(poses)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.array([point.xyz for point in points]) @ turn.T))
    cloud.colors = open3d.utility.Vector3dVector(np.array([point.color for point in points]) / 255)
    cloud = thin(clean(cloud), max_points)
    cameras = open3d.geometry.LineSet()
    depth = 0.07 * _extent(cloud)
    sound = [place for place, image in enumerate(images) if _sound(reconstruction.cameras[image.camera_id])] or range(len(images))
    for image, pose in ((images[place], poses[place]) for place in sound):
        cameras += _frustum(reconstruction.cameras[image.camera_id], pose, depth)
    cameras.rotate(turn, center=np.zeros(3))
    cameras.paint_uniform_color(to_rgb(CAMERA))
    photo_ids = [int(Path(images[place].name).stem) for place in sound]
    return Model(int(folder.name), cloud, cameras, photo_ids, len(points), len(images) - len(sound))


def upright(poses: Floats) -> Floats:
    """The rotation [3, 3] that turns a model with these camera poses [n, 3, 4] (camera from world) so that z is up.

    People hold cameras level, however they tilt them: up is at a right angle to every camera's horizontal axis, and roughly where
    the cameras' own upper sides point. So it is the u that minimises mean((x_i . u)^2) - 0.1 (mean(y_i) . u)^2.
    """
    across, above = poses[:, 0, :3], -poses[:, 1, :3].mean(0)
    up = np.linalg.eigh(across.T @ across / len(poses) - 0.1 * np.outer(above, above))[1][:, 0]
    up = up if up @ above >= 0 else -up
    east = np.cross(np.eye(3)[np.abs(up).argmin()], up)
    east /= np.linalg.norm(east)
    return np.stack([east, np.cross(up, east), up])


def clean(cloud: Any) -> Any:
    """The cloud without stray points: those far from their neighbours, then those far outside of what most of it fills."""
    if len(cloud.points) > NEIGHBOURS:
        cloud, _ = cloud.remove_statistical_outlier(nb_neighbors=NEIGHBOURS, std_ratio=2.0)
    low, high = np.percentile(np.asarray(cloud.points), [2, 98], axis=0)
    points = np.asarray(cloud.points)
    margin = np.linalg.norm(high - low) / 4
    inside = np.all((points >= low - margin) & (points <= high + margin), axis=1)
    return cloud.select_by_index(np.flatnonzero(inside))


def thin(cloud: Any, max_points: int) -> Any:
    """The cloud with at most `max_points`: the points of each cell of the finest sufficient grid become one, their mean."""
    if len(cloud.points) <= max_points:
        return cloud
    low, high = 0.0, 2.1 * float(np.ptp(np.asarray(cloud.points), axis=0).max())  # open3d's grid starts half a cell outside
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if len(cloud.voxel_down_sample(middle).points) <= max_points else (middle, high)
    return cloud.voxel_down_sample(high)


def _sound(camera: pycolmap.Camera) -> bool:
    """Whether a photo can have been taken with it."""
    low, high = FOCAL_LENGTHS
    return low <= camera.mean_focal_length() / max(camera.width, camera.height) <= high


def _frustum(camera: pycolmap.Camera, pose: Floats, depth: float) -> Any:
    """What a camera sees up to `depth`, as a LineSet: open3d's own, without the three axes that it adds."""
    open3d = import_open3d()
    pose = np.vstack([pose, [0, 0, 0, 1]])
    whole = open3d.geometry.LineSet.create_camera_visualization(
        camera.width, camera.height, camera.calibration_matrix(), pose, depth
    )
    points, lines = np.asarray(whole.points)[:CORNERS], np.asarray(whole.lines)[:8]
    return open3d.geometry.LineSet(open3d.utility.Vector3dVector(points), open3d.utility.Vector2iVector(lines))


def _extent(cloud: Any) -> float:
    """The size of what most of the cloud fills."""
    low, high = np.percentile(np.asarray(cloud.points), [5, 95], axis=0)
    return float(np.linalg.norm(high - low))


def viewpoint(model: Model, aspect: float = ASPECT) -> View:
    """Where to look at the model from: behind its cameras, a little aside and above, as near as lets it into the picture: all of
    its points, and the nearer three quarters of its cameras, since a few distant ones would leave the model tiny.

    A point (x right, y up, z towards the eye) is inside where |x - cx| <= k (D - z), D the eye's distance and k the slope of the
    picture's edge. Of both signs the tightest bound gives D and the middle cx at once; likewise for y.
    """
    points = np.asarray(model.cloud.points)
    cameras = np.asarray(model.cameras.points).reshape(-1, CORNERS, 3)
    target = np.median(points, axis=0)
    towards = cameras[:, 0] - target
    far = np.linalg.norm(towards, axis=1, keepdims=True).clip(1e-12)
    near = cameras[far[:, 0] <= np.quantile(far, 0.75)].reshape(-1, 3)
    towards = np.median(towards / far, axis=0)
    azimuth, rise = np.arctan2(towards[1], towards[0]) + np.radians(ASIDE), np.radians(ABOVE)
    back = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    axes = View(target + back, target, 1.0)
    seen = np.concatenate([points, near]) - target
    across, depth = seen @ np.stack([axes.right, axes.up], axis=1), (seen @ back)[:, None]
    slope = np.tan(np.radians(FIELD_OF_VIEW / 2)) * np.array([aspect, 1])
    high, low = (across + slope * depth).max(0), (slope * depth - across).max(0)
    distance = 1.04 * float(((high + low) / (2 * slope)).max())
    target = target + (high - low) / 2 @ np.stack([axes.right, axes.up])
    reach = float(np.abs(np.concatenate([points, cameras.reshape(-1, 3)]) - target).max())
    return View(target + distance * back, target, reach)
