"""3D models, as views that turn (plotly), as still pictures (open3d), and as sizes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from bcdh_lib.core.open3d_import import Open3dError, import_open3d
from bcdh_lib.core.tables import read_table
from bcdh_lib.report.figures.display import show_3d
from bcdh_lib.report.figures.geometry import CAMERA, FIELD_OF_VIEW, Floats, Model, View, read_model, viewpoint
from bcdh_lib.report.figures.labels import blank, counted
from bcdh_lib.report.figures.sheets import ImageOf, evenly, photo_sheet
from bcdh_lib.report.figures.style import BLUE, PURPLE, Drawn, new_figure, styled
from bcdh_lib.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go

SIZE = (1520, 960)  # px of the still picture: the page's full width, twice for dense screens
SHOWN = 40
"""Models drawn as bars; a pile may give thousands."""


def view_of(folder: Path, max_points: int = 30_000) -> tuple[go.Figure, bytes, str]:
    """The model of a folder models/N as display.show_3d takes it: the view that turns, the still picture (PNG), the words.

    Raises Open3dError where open3d cannot be loaded, StudyError where the folder holds no model.
    """
    model = read_model(folder, max_points)
    return turnable(model), still(model), f"{model}."


def show_largest(study: Study, count: int = 4) -> None:
    """Show the models with the most photos, each as a view that turns; where open3d cannot be loaded, say so in a line."""
    largest = read_table(study.reconstruction, "registrations")["model_id"].value_counts(sort=False).sort_index()
    for model_id, photos in largest.sort_values(ascending=False, kind="stable").head(count).items():
        try:
            view, picture, alt = view_of(study.reconstruction / "models" / str(model_id))
        except Open3dError as error:
            print(error)
            return
        show_3d(view, picture, alt, caption=f"**Model {model_id}**, built from {photos:,} photos. Drag to turn it.")


def turnable(model: Model) -> go.Figure:
    """The model as a plotly view: points in their colours, cameras as one line with gaps, named by photo under the pointer."""
    import plotly.graph_objects as go

    view = viewpoint(model)
    places, lines = np.asarray(model.cameras.points), np.asarray(model.cameras.lines)
    ends = np.insert(places[lines], 2, np.nan, axis=1).reshape(-1, 3)
    names = [f"photo {photo}" for photo in model.photo_ids for _ in range(len(ends) // len(model.photo_ids))]
    colours = (np.asarray(model.cloud.colors) * 255).round().astype(int) @ [65536, 256, 1]
    marker = {"size": 2, "color": [f"#{colour:06x}" for colour in colours]}
    cloud = go.Scatter3d(**_xyz(model.cloud.points), mode="markers", marker=marker, hoverinfo="skip", name="points")
    line = {"color": CAMERA, "width": 2}
    cameras = go.Scatter3d(**_xyz(ends), mode="lines", line=line, text=names, hoverinfo="text", name="cameras")
    eye = (view.eye - view.target) / (2 * view.reach)  # plotly measures in sides of the cube
    sides = {
        f"{axis}axis": {"visible": False, "range": [middle - view.reach, middle + view.reach]}
        for axis, middle in zip("xyz", view.target.tolist(), strict=True)
    }
    scene = {"aspectmode": "cube", "camera": {"eye": dict(zip("xyz", eye.round(4).tolist(), strict=True))}, **sides}
    return go.Figure([cloud, cameras], {"scene": scene, "showlegend": False, "margin": dict.fromkeys("lrtb", 0)})


def _xyz(points: Any) -> dict[str, NDArray[np.float32]]:
    return dict(zip("xyz", np.asarray(points, dtype=np.float32).T, strict=True))


def still(model: Model, size: tuple[int, int] = SIZE) -> bytes:
    """What `turnable` shows first, as a PNG file of `size` px: open3d casts four rays a pixel, on the CPU alone.

    Points are discs and the cameras' lines are ribbons, all facing the eye.
    """
    open3d = import_open3d()
    width, height = 2 * size[0], 2 * size[1]
    view = viewpoint(model, width / height)
    slope = np.tan(np.radians(FIELD_OF_VIEW / 2))
    pixel = float(slope / height * 2 * np.linalg.norm(view.eye - view.target))
    spacing = float(np.median(model.cloud.compute_nearest_neighbor_distance()))
    meshes = [
        discs(np.asarray(model.cloud.points), view, float(np.clip(0.8 * spacing, 4 * pixel, 9 * pixel))),
        ribbons(np.asarray(model.cameras.points)[np.asarray(model.cameras.lines)], view, 1.4 * pixel),
    ]
    scene = open3d.t.geometry.RaycastingScene()
    for corners, triangles in meshes:
        scene.add_triangles(corners.astype(np.float32), triangles.astype(np.uint32))
    focal = height / (2 * slope)
    inside = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    hit = scene.cast_rays(scene.create_rays_pinhole(inside, view.pose, width, height))
    colours = [np.asarray(model.cloud.colors), np.asarray(model.cameras.colors)]
    picture = np.ones((height, width, 3))
    of_mesh, triangle = hit["geometry_ids"].numpy(), hit["primitive_ids"].numpy()
    for number, ((_, triangles), colour) in enumerate(zip(meshes, colours, strict=True)):
        there = of_mesh == number
        picture[there] = colour[triangle[there] // (len(triangles) // len(colour))]
    return png(picture.reshape(size[1], 2, size[0], 2, 3).mean((1, 3)))


def discs(centres: Floats, view: View, radius: float) -> tuple[Floats, NDArray[np.int64]]:
    """Hexagons around the centres [n, 3] that face the eye: corners [6n, 3] and triangles [4n, 3]."""
    angles = np.arange(6) * np.pi / 3
    ring = radius * (np.cos(angles)[:, None] * view.right + np.sin(angles)[:, None] * view.up)
    fan = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]])
    return (centres[:, None] + ring).reshape(-1, 3), (6 * np.arange(len(centres))[:, None, None] + fan).reshape(-1, 3)


def ribbons(lines: Floats, view: View, radius: float) -> tuple[Floats, NDArray[np.int64]]:
    """Rectangles along the lines [n, 2, 3] that face the eye: corners [4n, 3] and triangles [2n, 3]."""
    side = np.cross(lines[:, 1] - lines[:, 0], view.eye - lines.mean(1))
    side *= radius / np.linalg.norm(side, axis=1, keepdims=True).clip(1e-12)
    corners = np.stack([lines[:, 0] - side, lines[:, 0] + side, lines[:, 1] + side, lines[:, 1] - side], axis=1)
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    return corners.reshape(-1, 3), (4 * np.arange(len(lines))[:, None, None] + halves).reshape(-1, 3)


def png(picture: Floats) -> bytes:
    """A picture [h, w, 3] of shares of 1 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(buffer, "png", optimize=True)
    return buffer.getvalue()


@styled()
def sizes(registrations: pd.DataFrame, tracks: pd.DataFrame) -> Drawn:
    """Photos and 3D points of each model as bars, models of one group side by side, from the tables of the reconstruction.

    Models that verified matches connect (one group) are coloured and bracketed. At most SHOWN models, the largest groups first;
    the title says how many there are.
    """
    models = model_sizes(registrations, tracks)
    shown, linked = models.head(SHOWN), int(models["linked"].sum())
    figure, axes = new_figure(2, 1, height=4.4, sharex=True)
    alt = (
        f"Bars of {counted(len(models), 'model')} in {counted(models['group_id'].nunique(), 'group')}: "
        f"{_spread(models['photos'])} photos and {_spread(models['points'])} 3D points a model; "
        f"{linked} of them linked with others by verified matches."
    )
    if shown.empty:
        for panel in axes.flat:
            blank(panel, "no model")
        return figure, alt
    for panel, column in zip(axes[:, 0], ("photos", "points"), strict=True):
        panel.bar(range(len(shown)), shown[column], color=np.where(shown["linked"], PURPLE, BLUE), width=0.8)
        panel.set_ylabel("photos" if column == "photos" else "3D points")
        panel.grid(axis="x", visible=False)
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.tick_params(axis="x", length=0)
    first = f", the largest {len(shown)} shown" if len(shown) < len(models) else ""
    axes[0, 0].set_title(f"{counted(len(models), 'model')}{first}")
    if shown["linked"].any():
        _bracket_groups(axes[0, 0], shown)
    axes[1, 0].set_xticks(range(len(shown)), shown["model_id"], fontsize=9 if len(shown) <= 30 else 7.5)
    axes[1, 0].set_xlabel("model (model_id)")
    axes[1, 0].set_xlim(-0.6, max(len(shown), 12) - 0.4)
    return figure, alt


def model_sizes(registrations: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """model_id, group_id, photos, points, linked (its group has other models): groups by their photos, then models by theirs."""
    models = registrations.groupby(["group_id", "model_id"]).size().rename("photos").reset_index()
    seen = tracks[["photo_id", "point_id"]].merge(registrations[["photo_id", "model_id"]]).drop_duplicates("point_id")
    models["points"] = models["model_id"].map(seen["model_id"].value_counts()).fillna(0).astype(int)
    groups = models.groupby("group_id")
    models["in_group"], models["linked"] = groups["photos"].transform("sum"), groups["model_id"].transform("size") > 1
    order = ["in_group", "group_id", "photos", "model_id"]
    return models.sort_values(order, ascending=[False, True, False, True], ignore_index=True).drop(columns="in_group")


def _bracket_groups(axes: Axes, models: pd.DataFrame) -> None:
    """A bracket over the models of each group that has several; a model's x is its row."""
    step = models["photos"].max() * 0.03
    for _, group in models[models["linked"]].groupby("group_id", sort=False):
        left, right, top = group.index[0] - 0.35, group.index[-1] + 0.35, group["photos"].max() + 2 * step
        axes.plot([left, left, right, right], [top - step, top, top, top - step], color=PURPLE, linewidth=1.2)
    meaning = Patch(color=PURPLE, label="linked by verified matches: one group")
    axes.legend(handles=[meaning], loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _spread(counts: pd.Series) -> str:
    if counts.empty:
        return "no"
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"


def unregistered(photos: pd.DataFrame, registrations: pd.DataFrame, image: ImageOf, shown: int = 24) -> Drawn:
    """A sheet of photos that are in no model, spread evenly, each with its photo_id (photographic)."""
    lost = photos.loc[~photos["photo_id"].isin(registrations["photo_id"]), "photo_id"].tolist()
    chosen = [lost[place] for place in evenly(len(lost), shown)]
    alt = f"{len(chosen)} of the {len(lost):,} photos in no model, of {len(photos):,} in all."
    return photo_sheet([(image(photo), str(photo)) for photo in chosen]), alt
