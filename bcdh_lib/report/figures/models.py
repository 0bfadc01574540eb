"""3D models: as views that turn (plotly), as still pictures, and how many photos and points each has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pycolmap
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.models import open_model
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture, View, png
from bcdh_lib.report.figures.labels import blank, counted
from bcdh_lib.report.figures.sheets import ImageOf, evenly, photo_sheet
from bcdh_lib.report.figures.style import BLUE, DPI, ORANGE, PAGE, PURPLE, new_figure, styled
from bcdh_lib.study import Study

Floats = NDArray[np.float64]
SHOWN = 40  # models drawn as bars: a collection may give thousands
MAX_POINTS = 30_000
FOCAL_LENGTHS = (0.1, 10.0)  # of the photo's longer side: COLMAP's bounds of a plausible camera
EDGES = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)])  # of a camera's pyramid: centre, 4 corners


@dataclass(frozen=True)
class Model:
    """A 3D model ready to be drawn: upright (z is up), without stray points.

    `points` [n, 3] with `colours` [n, 3] (0 to 1); `cameras` [m, 5, 3], the centre and the four corners of what each sees, in the
    order of `photo_ids`. `total` counts the model's points, `implausible` the cameras left out for their focal length.
    """

    model_id: int
    points: Floats
    colours: Floats
    cameras: Floats
    photo_ids: list[int]
    total: int
    implausible: int = 0

    def __str__(self) -> str:
        left_out = f"; {counted(self.implausible, 'camera')} of implausible focal length not drawn" if self.implausible else ""
        return (
            f"3D model {self.model_id}: {len(self.points):,} of its {self.total:,} points in the colours of their photos, and "
            f"{counted(len(self.photo_ids), 'camera')}{left_out}"
        )


def read_model(folder: Path, max_points: int = MAX_POINTS) -> Model:
    """The model of a folder models/N in COLMAP's format, with at most `max_points` points. Raises StudyError."""
    reconstruction = open_model(folder)
    images = sorted((reconstruction.images[i] for i in reconstruction.reg_image_ids()), key=lambda image: image.name)
    found = list(reconstruction.points3D.values())
    if not (images and found):
        raise StudyError(
            f"{folder}: the model has {len(images)} photos and {len(found)} points; rebuild: dvc repro reconstruction"
        )
    poses = np.array([image.cam_from_world().matrix() for image in images])
    turn = upright(poses)
    points = np.array([point.xyz for point in found]) @ turn.T
    colours = np.array([point.color for point in found]) / 255
    inliers = np.flatnonzero(_near_others(points))
    chosen = np.sort(np.random.default_rng(0).permutation(inliers)[:max_points])
    low, high = np.percentile(points[chosen], [5, 95], axis=0)
    plausible = [n for n, image in enumerate(images) if _plausible(reconstruction.cameras[image.camera_id])] or range(len(images))
    cameras = [
        _pyramid(reconstruction.cameras[images[n].camera_id], poses[n], 0.07 * float(np.linalg.norm(high - low)))
        for n in plausible
    ]
    photo_ids = [int(Path(images[n].name).stem) for n in plausible]
    return Model(
        int(folder.name),
        points[chosen],
        colours[chosen],
        np.array(cameras) @ turn.T,
        photo_ids,
        len(points),
        len(images) - len(plausible),
    )


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
    inside = ((points >= low - margin) & (points <= high + margin)).all(1)
    near = distances <= distances.mean() + 2 * distances.std()
    return inside & near if (inside & near).any() else np.ones(len(points), dtype=bool)


def _plausible(camera: pycolmap.Camera) -> bool:
    low, high = FOCAL_LENGTHS
    return low <= camera.mean_focal_length() / max(camera.width, camera.height) <= high


def _pyramid(camera: pycolmap.Camera, pose: Floats, depth: float) -> Floats:
    """A camera's centre and the corners of what it sees at `depth`, [5, 3] in the world."""
    wide, high = camera.width, camera.height
    corners = np.array([(0, 0, 1), (wide, 0, 1), (wide, high, 1), (0, high, 1)]) @ np.linalg.inv(camera.calibration_matrix()).T
    seen = np.vstack([np.zeros(3), depth * corners])
    return (seen - pose[:, 3]) @ pose[:, :3]


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


def view_of(folder: Path, max_points: int = MAX_POINTS) -> View:
    """The model of a folder models/N as a view that turns. Raises StudyError."""
    model = read_model(folder, max_points)
    return View(turnable(model), png(still(model)), f"{model}.")


def largest(study: Study, count: int = 4) -> Gallery:
    """The models with the most photos, each as a view that turns."""
    sizes = read_table(study.reconstruction, "registrations")["model_id"].value_counts(sort=False).sort_index()
    gallery = Gallery()
    for model_id, photos in sizes.sort_values(ascending=False, kind="stable").head(count).items():
        view = view_of(study.reconstruction / "models" / str(model_id))
        gallery += [view, f"**Model {model_id}**, built from {counted(photos, 'photo')}. Drag to turn it."]
    return gallery


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
    axes = {
        f"{axis}axis": {"visible": False, "range": [middle - radius, middle + radius]}
        for axis, middle in zip("xyz", target.tolist(), strict=True)
    }
    scene = {"aspectmode": "cube", "camera": {"eye": dict(zip("xyz", (1.1 * eye).round(4).tolist(), strict=True))}, **axes}
    return go.Figure([cloud, cameras], {"scene": scene, "showlegend": False, "margin": dict.fromkeys("lrtb", 0)})


def _xyz(points: Floats) -> dict[str, NDArray[np.float32]]:
    return dict(zip("xyz", np.asarray(points, dtype=np.float32).T, strict=True))


def projected(model: Model) -> tuple[Floats, Floats]:
    """What `viewpoint` sees in parallel projection, x right and y up: points [n, 2], and the cameras' lines [l, 2, 2]."""
    eye, target, _ = viewpoint(model)
    right = np.cross([0, 0, 1], eye) / np.linalg.norm(np.cross([0, 0, 1], eye))
    screen = np.stack([right, np.cross(eye, right)], axis=1)
    return (model.points - target) @ screen, ((model.cameras - target) @ screen)[:, EDGES].reshape(-1, 2, 2)


@styled()
def still(model: Model) -> Figure:
    """What `turnable` shows first, in parallel projection."""
    figure = Figure(figsize=(PAGE, 0.6 * PAGE))
    figure.set_layout_engine("none")
    points, lines = projected(model)
    axes, order = figure.add_axes((0, 0, 1, 1)), np.argsort(model.points @ viewpoint(model)[0])
    size = (0.6 * PAGE * DPI / 300) ** 2 * max(0.04, min(1.0, 4000 / max(len(order), 1)))
    across, up = points[order].T
    axes.scatter(across, up, s=size, c=model.colours[order], linewidths=0)
    axes.add_collection(LineCollection(list(lines), colors=ORANGE, linewidths=0.7))
    low, high = np.percentile(np.concatenate([points, lines.reshape(-1, 2)]), [1, 99], axis=0)
    middle, half = (high + low) / 2, 0.56 * max(float(high[1] - low[1]), 0.6 * float(high[0] - low[0]))
    axes.set(xlim=(middle[0] - half / 0.6, middle[0] + half / 0.6), ylim=(middle[1] - half, middle[1] + half))
    axes.set_axis_off()
    return figure


@styled()
def sizes(registrations: pd.DataFrame, tracks: pd.DataFrame) -> Picture:
    """Photos and 3D points of each model as bars; models of one group next to each other, in another colour.

    A group is what verified matches connect. At most SHOWN models, the largest groups first.
    """
    models = model_sizes(registrations, tracks)
    shown, linked = models.head(SHOWN), int(models["linked"].sum())
    figure, axes = new_figure(2, 1, height=4.4, sharex=True)
    alt = (
        f"Bars of {counted(len(models), 'model')} in {counted(models['group_id'].nunique(), 'group')}: "
        f"{_range(models['photos'])} photos and {_range(models['points'])} 3D points in each model; "
        f"{linked} of them linked with others by verified matches."
    )
    if shown.empty:
        for panel in axes.flat:
            blank(panel, "no model")
        return Picture(figure, alt)
    for panel, column in zip(axes[:, 0], ("photos", "points"), strict=True):
        panel.bar(range(len(shown)), shown[column], color=np.where(shown["linked"], PURPLE, BLUE), width=0.8)
        panel.set_ylabel("photos" if column == "photos" else "3D points")
        panel.grid(axis="x", visible=False)
        panel.yaxis.set_major_formatter("{x:,.0f}")
    first = f", the largest {len(shown)} shown" if len(shown) < len(models) else ""
    axes[0, 0].set_title(f"{counted(len(models), 'model')}{first}")
    if shown["linked"].any():
        meaning = Patch(color=PURPLE, label="linked by verified matches: one group")
        axes[0, 0].legend(handles=[meaning], loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes[1, 0].set_xticks(range(len(shown)), shown["model_id"], fontsize=9 if len(shown) <= 30 else 7.5)
    axes[1, 0].set(xlabel="model (model_id)", xlim=(-0.6, max(len(shown), 12) - 0.4))
    return Picture(figure, alt)


def model_sizes(registrations: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """model_id, group_id, photos, points, linked (its group has other models): groups by their photos, then models by theirs."""
    models = registrations.groupby(["group_id", "model_id"]).size().rename("photos").reset_index()
    seen = tracks[["photo_id", "point_id"]].merge(registrations[["photo_id", "model_id"]]).drop_duplicates("point_id")
    models["points"] = models["model_id"].map(seen["model_id"].value_counts()).fillna(0).astype(int)
    groups = models.groupby("group_id")
    models["in_group"], models["linked"] = groups["photos"].transform("sum"), groups["model_id"].transform("size") > 1
    order = ["in_group", "group_id", "photos", "model_id"]
    return models.sort_values(order, ascending=[False, True, False, True], ignore_index=True).drop(columns="in_group")


def _range(counts: pd.Series) -> str:
    if counts.empty:
        return "no"
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"


def unregistered(photos: pd.DataFrame, registrations: pd.DataFrame, image: ImageOf, shown: int = 24) -> PhotoPicture:
    """A sheet of photos that are in no model, spread evenly, each with its photo_id."""
    lost = photos.loc[~photos["photo_id"].isin(registrations["photo_id"]), "photo_id"].tolist()
    chosen = [lost[place] for place in evenly(len(lost), shown)]
    alt = f"{len(chosen)} of the {counted(len(lost), 'photo')} in no model, of {len(photos):,} in all."
    return PhotoPicture(photo_sheet([(image(photo), str(photo)) for photo in chosen]), alt)
