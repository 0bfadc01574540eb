"""3D models: as views that turn (plotly), as still pictures, as they grow camera by camera, and how many photos each has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pycolmap
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.models import open_model
from bcdh_lib.report.figures.display import Gallery, Picture, View
from bcdh_lib.report.figures.sheets import evenly
from bcdh_lib.report.figures.style import BLUE, ORANGE, PAGE, PURPLE, blank, counted, new_figure, styled
from bcdh_lib.study import Study

Floats = NDArray[np.float64]
MAX_POINTS = 30_000
FOCAL_LENGTHS = (0.1, 10.0)  # of the photo's longer side: COLMAP's bounds of a plausible camera; others are not drawn
EDGES = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)])  # of a camera's pyramid: centre, 4 corners


@dataclass(frozen=True)
class Model:
    """A 3D model ready to be drawn: upright (z is up), without stray points.

    `points` [n, 3] with `colours` [n, 3] (0 to 1); `cameras` [m, 5, 3], the centre and the four corners of what each sees, in the
    order of `photo_ids`. `total` counts the model's points.
    """

    points: Floats
    colours: Floats
    cameras: Floats
    photo_ids: list[int]
    total: int

    def __str__(self) -> str:
        drawn = f"{len(self.points):,} of {self.total:,} points in the colours of their photos"
        return f"3D model, {drawn}, and {counted(len(self.photo_ids), 'camera')}"


def read_model(folder: Path) -> Model:
    """The model of a folder models/N in COLMAP's format. Raises StudyError."""
    model = open_model(folder)
    if not (model.num_reg_images() and model.num_points3D()):
        raise StudyError(f"{folder}: the model has no photo or no point; rebuild: dvc repro reconstruction")
    return drawable(model)


def drawable(model: pycolmap.Reconstruction, turn: Floats | None = None) -> Model:
    """The model with at most MAX_POINTS points, rotated by `turn` [3, 3], which defaults to what makes it upright."""
    images = sorted((model.images[number] for number in model.reg_image_ids()), key=lambda image: int(Path(image.name).stem))
    poses = _poses(images)
    turn = upright(poses) if turn is None else turn
    found = list(model.points3D.values())
    points, colours = np.array([point.xyz for point in found]) @ turn.T, np.array([point.color for point in found]) / 255
    chosen = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(_near_others(points)))[:MAX_POINTS])
    depth = 0.07 * float(np.linalg.norm(np.subtract(*np.percentile(points[chosen], [95, 5], axis=0))))
    cameras = [model.cameras[image.camera_id] for image in images]
    focal = np.array([camera.mean_focal_length() / max(camera.width, camera.height) for camera in cameras])
    plausible = np.flatnonzero((focal >= FOCAL_LENGTHS[0]) & (focal <= FOCAL_LENGTHS[1])).tolist() or range(len(images))
    pyramids = np.array([_pyramid(cameras[number], poses[number], depth) for number in plausible]) @ turn.T
    return Model(points[chosen], colours[chosen], pyramids, [int(Path(images[n].name).stem) for n in plausible], len(points))


def _poses(images: Iterable[pycolmap.Image]) -> Floats:
    return np.array([image.cam_from_world().matrix() for image in images])


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


def _near_others(points: Floats) -> NDArray[np.bool_]:
    """False for stray points: far from their 16 nearest neighbours, or far outside of what most of the model fills."""
    distances = cKDTree(points).query(points, min(17, len(points)))[0].reshape(len(points), -1).mean(1)
    low, high = np.percentile(points, [2, 98], axis=0)
    margin = np.linalg.norm(high - low) / 4
    near = ((points >= low - margin) & (points <= high + margin)).all(1) & (distances <= distances.mean() + 2 * distances.std())
    return near if near.any() else np.ones(len(points), dtype=bool)


def _pyramid(camera: pycolmap.Camera, pose: Floats, depth: float) -> Floats:
    """A camera's centre and the corners of what it sees at `depth`, [5, 3] in the world."""
    wide, high = camera.width, camera.height
    corners = np.array([(0, 0, 1), (wide, 0, 1), (wide, high, 1), (0, high, 1)]) @ np.linalg.inv(camera.calibration_matrix()).T
    return (np.vstack([np.zeros(3), depth * corners]) - pose[:, 3]) @ pose[:, :3]


def viewpoint(model: Model) -> tuple[Floats, Floats, float]:
    """Where to look from: the direction of the eye (unit vector), the target, and the radius of what is to be seen.

    The eye is on the cameras' side, 22 degrees to the side and 16 above; distant cameras do not count.
    """
    target = np.median(model.points, axis=0)
    towards = model.cameras[:, 0] - target
    far = np.linalg.norm(towards, axis=1)
    side = np.median(towards / far.clip(1e-12)[:, None], axis=0)
    azimuth, rise = np.arctan2(side[1], side[0]) + np.radians(22), np.radians(16)
    eye = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    return eye, target, float(max(np.quantile(far, 0.75), np.linalg.norm(model.points - target, axis=1).max()))


def largest(study: Study, count: int = 4) -> Gallery:
    """The models with the most photos, each as a view that turns."""
    sizes = read_table(study.reconstruction, "registrations")["model_id"].value_counts(sort=False).sort_index()
    gallery = Gallery()
    for model_id, photos in sizes.sort_values(ascending=False, kind="stable").head(count).items():
        model = read_model(study.reconstruction / "models" / str(model_id))
        gallery += [view_of(model), f"**Model {model_id}**, built from {counted(photos, 'photo')}. Drag to turn it."]
    return gallery


@styled()
def view_of(model: Model) -> View:
    """The model as a view that turns, and its still: what the view shows first, in parallel projection."""
    figure = Figure(figsize=(PAGE, 0.6 * PAGE))
    figure.set_layout_engine("none")
    draw(figure.add_axes((0, 0, 1, 1)), model, model)
    return View(turnable(model), figure, f"{model}.")


def turnable(model: Model) -> go.Figure:
    """The model as a plotly view: points in their colours, cameras as one line with gaps; a pointed-at camera names its photo."""
    eye, target, radius = viewpoint(model)
    ends = np.insert(model.cameras[:, EDGES], 2, np.nan, axis=2).reshape(-1, 3)
    names = [f"photo {photo}" for photo in model.photo_ids for _ in range(3 * len(EDGES))]
    rgb = (model.colours * 255).round().astype(int) @ [65536, 256, 1]
    marker = {"size": 2, "color": [f"#{colour:06x}" for colour in rgb]}
    cloud = go.Scatter3d(**_xyz(model.points), mode="markers", marker=marker, hoverinfo="skip", name="points")
    line = {"color": ORANGE, "width": 2}
    cameras = go.Scatter3d(**_xyz(ends), mode="lines", line=line, text=names, hoverinfo="text", name="cameras")
    middles = zip("xyz", target.tolist(), strict=True)
    axes = {f"{axis}axis": {"visible": False, "range": [middle - radius, middle + radius]} for axis, middle in middles}
    scene = {"aspectmode": "cube", "camera": {"eye": dict(zip("xyz", (1.1 * eye).round(4).tolist(), strict=True))}, **axes}
    return go.Figure([cloud, cameras], {"scene": scene, "showlegend": False, "margin": dict.fromkeys("lrtb", 0)})


def _xyz(points: Floats) -> dict[str, NDArray[np.float32]]:
    return dict(zip("xyz", np.asarray(points, dtype=np.float32).T, strict=True))


def draw(axes: Axes, model: Model, frame: Model, new: Sequence[int] = (), aspect: float = 0.6, dot: float = 9) -> None:
    """Draw a model seen from the `viewpoint` of the model `frame`, which fills the axes; cameras of the photos `new` are blue.

    aspect: the height of the axes, as a share of their width; dot: the size of a point, if there are few.
    """
    eye, target, _ = viewpoint(frame)
    right = np.cross([0, 0, 1], eye) / np.linalg.norm(np.cross([0, 0, 1], eye))
    screen = np.stack([right, np.cross(eye, right)], axis=1)
    order = np.argsort(model.points @ eye)
    across, up = ((model.points - target) @ screen)[order].T
    axes.scatter(across, up, s=dot * max(0.04, min(1.0, 4000 / len(frame.points))), c=model.colours[order], linewidths=0)
    for number, camera in zip(model.photo_ids, model.cameras, strict=True):
        colour, width = (BLUE, 1.4) if number in new else (ORANGE, 0.7)
        axes.add_collection(LineCollection(list(((camera - target) @ screen)[EDGES]), colors=colour, linewidths=width))
    seen = (np.concatenate([frame.points, frame.cameras.reshape(-1, 3)]) - target) @ screen
    low, high = np.percentile(seen, [1, 99], axis=0)
    middle, half = (high + low) / 2, 0.56 * max(float(high[1] - low[1]), aspect * float(high[0] - low[0]))
    axes.set(xlim=middle[0] + np.array([-half, half]) / aspect, ylim=middle[1] + np.array([-half, half]))
    axes.set_axis_off()


@styled()
def growth(stages: Sequence[pycolmap.Reconstruction], shown: int = 6) -> Picture:
    """A 3D model as it grows, from its first cameras to the last, all from one point of view; new cameras are blue."""
    if not stages:
        figure, axes = new_figure(height=2)
        blank(axes[0, 0], "no 3D model from these photos; add photos of the same place")
        return Picture(figure, "Empty: these photos give no 3D model.")
    last = drawable(stages[-1])
    turn = upright(_poses(stages[-1].images[number] for number in stages[-1].reg_image_ids()))
    chosen = [stages[place] for place in evenly(len(stages), shown)]
    figure, axes = new_figure(-(-len(chosen) // 3), 3, height=0.3 + 2.1 * -(-len(chosen) // 3))
    before: list[int] = []
    for panel, stage in zip(axes.flat, chosen, strict=False):
        model = drawable(aligned(stage, stages[-1]), turn)
        draw(panel, model, last, [photo for photo in model.photo_ids if photo not in before], 0.75, 3)
        panel.set_title(f"{len(model.photo_ids)} cameras, {model.total:,} points", fontsize=9)
        before = model.photo_ids
    for panel in axes.flat[len(chosen) :]:
        panel.set_axis_off()
    counts = [f"{stage.num_reg_images()} cameras and {stage.num_points3D():,} points" for stage in (stages[0], stages[-1])]
    return Picture(figure, f"A 3D model grows from {counts[0]} to {counts[1]}, in {len(chosen)} pictures.")


def aligned(stage: pycolmap.Reconstruction, last: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """A copy of an earlier stage in the frame of the last one, by the cameras that both have: COLMAP rescales as it goes."""
    both = sorted(set(stage.reg_image_ids()) & set(last.reg_image_ids()))
    centres = [np.array([each.images[number].projection_center() for number in both]) for each in (stage, last)]
    copy = pycolmap.Reconstruction(stage)
    if len(both) >= 3 and (found := pycolmap.estimate_sim3d(*centres)):
        copy.transform(found)
    return copy


@styled()
def sizes(registrations: pd.DataFrame) -> Picture:
    """How many models have how many photos; models that verified matches link into one group have another colour."""
    models = registrations.groupby("model_id").agg(photos=("photo_id", "size"), group=("group_id", "first"))
    photos, linked = models["photos"], models["group"].duplicated(keep=False)
    figure, axes = new_figure(height=2.9)
    panel, alt = axes[0, 0], f"Bars of {counted(len(models), 'model')} in {counted(models['group'].nunique(), 'group')}, of "
    if models.empty:
        blank(panel, "no model")
        return Picture(figure, f"{alt}no photos.")
    step = -(-(photos.max() - photos.min() + 1) // 40)  # photos a bar
    edges = np.arange(photos.min(), photos.max() + step + 1, step) - 0.5
    look = {"color": [BLUE, PURPLE], "label": ["a group of its own", "linked to other models"], "rwidth": 0.9}
    panel.hist([photos[~linked], photos[linked]], edges, stacked=True, **look)
    panel.set(xlabel="photos in a model", ylabel="number of models", title=counted(len(models), "model"))
    panel.yaxis.get_major_locator().set_params(integer=True)
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2)
    return Picture(figure, f"{alt}{photos.min()} to {photos.max()} photos; {linked.sum()} are linked.")
