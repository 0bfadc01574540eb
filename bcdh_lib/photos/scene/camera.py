"""The camera: its position, the rays that it casts, and the effects of lens and sensor. Lengths in metres."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bcdh_lib.core.imports import import_open3d
from bcdh_lib.photos.scene.facades import Rng
from bcdh_lib.photos.scene.light import Light, bumped, seen_surface, shine, sky
from bcdh_lib.photos.scene.mesh import Array, Part, Solid, solidify, unit
from bcdh_lib.photos.scene.places import Place, passers_by

SUPERSAMPLING = 1.5  # rays a pixel along each side
LEAST = 0.08  # share of the frame that the landmark of a photo fills
TAKES = 12  # attempts at a photo that shows enough
UNBOUNDED = 5  # frames; width of the view in which the whole landmark is measured
COARSE = 8  # pixels between the rays of that view
FAR = 1500.0  # m; haze does not increase beyond


class View(NamedTuple):
    """Position and direction of the camera."""

    eye: Array  # [3]
    turn: Array  # [3, 3], rows: right, down, ahead
    focal: float  # in widths of the picture

    @property
    def heading(self) -> float:
        """Direction in the ground plane, in radians from +x."""
        return float(np.arctan2(self.turn[2, 1], self.turn[2, 0]))

    def rays(self, columns: int, rows: int, frames: float = 1.0) -> Array:
        """Unit vectors [rows, columns, 3] through a view that is `frames` times as wide as the picture."""
        x = ((np.arange(columns) + 0.5) / columns - 0.5) * frames / self.focal
        y = ((np.arange(rows) + 0.5) / rows - 0.5) * frames / self.focal * (rows / columns)
        rays = np.stack([*np.meshgrid(x, y), np.ones((rows, columns))], axis=-1).astype(np.float32)
        return unit(rays @ self.turn)


class Seen(NamedTuple):
    """How much of the landmark a photo shows."""

    share: float  # visible share of the landmark, compared with a view without frame and obstacles
    box: tuple[float, float, float, float] | None  # x1, y1, x2, y2 in px around the visible part of the landmark


class Photo(NamedTuple):
    """A finished photo."""

    pixels: NDArray[np.uint8]  # [height, width, 3]
    quality: int  # of its JPEG
    seen: Seen


class Shot:
    """The rays of one picture, SUPERSAMPLING per pixel along each side, and what they hit, [rows, columns, ...]."""

    def __init__(self, view: View, solids: list[Solid], width: int, height: int) -> None:
        self.view, self.solids, self.scene = view, solids, _scene([solid.corners for solid in solids])
        self.rays = view.rays(round(width * SUPERSAMPLING), round(height * SUPERSAMPLING))  # unit vectors
        hits = {name: values.numpy() for name, values in self.scene.cast_rays(_tensor(view.eye, self.rays), nthreads=1).items()}
        self.distance = hits["t_hit"]  # inf for the sky
        self.solid, self.triangle = hits["geometry_ids"].astype(np.int64), hits["primitive_ids"].astype(np.int64)
        self.uv = hits["primitive_uvs"]  # weights of the triangle's second and third corner
        self.part = np.full(self.solid.shape, -1, np.int32)  # of the sky
        for k, each in enumerate(solids):
            self.part[self.solid == k] = each.part[self.triangle[self.solid == k]]


def photograph(rng: Rng, place: Place, width: int, height: int, whole: float = 0.0) -> Photo:
    """A photo [height, width] of the place's landmark, or of the place if it has none.

    A photo that shows almost nothing of the landmark, or less than the share `whole` of it, is taken again, up to TAKES
    times; then the one that shows most is used.
    """
    shots: list[tuple[float, int, Shot]] = []  # share seen, take
    for _ in range(TAKES if place.landmark else 1):
        view = draw_view(rng, place, height / width, plain=whole > 0) if place.landmark else draw_glance(rng, place)
        crowd = passers_by(rng, view.eye, view.heading, max(float(np.hypot(*view.eye[:2])) - 0.4 * place.size, 15.0))
        shot = Shot(view, [place.solid, *([solidify([crowd])] if crowd.faces else [])], width, height)
        filled = float((shot.part == Part.LANDMARK).mean())
        shots.append((_share(place, view, filled, width, height), len(shots), shot))
        if filled >= LEAST and shots[-1][0] >= whole:
            break
    else:
        shots.sort()
    share, _, shot = shots[-1]
    picture = develop(rng, _light_of(rng, shot, Light(rng, shot.view.heading)), width, height)
    return Photo(picture, int(rng.integers(62, 96)), Seen(share, _box(shot.part == Part.LANDMARK, width, height)))


def draw_view(rng: Rng, place: Place, aspect: float, plain: bool) -> View:
    """A tourist's view: mostly from the front, sometimes from the side or from behind, zoomed in or not."""
    half = np.tan(np.radians(rng.uniform(21, 33)))
    zoom = 1.0 if plain or rng.random() < 0.64 else float(np.exp(rng.uniform(0.1, np.log(3.5))))
    spread = 35 if plain else rng.choice([32, 70, 180], p=[0.74, 0.2, 0.06])
    turn = np.radians(rng.uniform(-spread, spread))
    fits = max(place.height / aspect, place.size) / (2 * half) * rng.uniform(0.85, 1.4) + 0.2 * place.size
    away = min(max(fits, 0.9 * place.size), 0.92 * place.radius)
    lift = 1.7 if rng.random() < 0.8 else rng.uniform(2, 0.5 * place.height + 3)
    eye = np.array([away * np.sin(turn), -away * np.cos(turn), lift])
    sideways, upwards = rng.uniform(-1, 1, 2) * ((0.4, 0.3) if zoom > 1.2 else (0.12, 0.1))
    aim = sideways * place.size * np.array([np.cos(turn), np.sin(turn), 0.0])
    aim[2] = place.height * (0.45 + upwards)
    return View(eye.astype(np.float32), _turn(aim - eye, np.radians(rng.normal(0, 1.8))), float(zoom / (2 * half)))


def draw_glance(rng: Rng, place: Place) -> View:
    """A photo of nothing in particular: a nearby wall, the ground, the sky, trees, a street."""
    spot = rng.uniform(-0.75, 0.75, 2) * place.radius / np.sqrt(2)
    heading, tilt = rng.uniform(-np.pi, np.pi), np.radians(rng.choice([-25.0, 4.0, 40.0], p=[0.15, 0.65, 0.2]) + rng.normal(0, 6))
    ahead = np.array([np.cos(heading) * np.cos(tilt), np.sin(heading) * np.cos(tilt), np.sin(tilt)])
    focal = float(np.exp(rng.uniform(np.log(0.7), np.log(3.0))))
    return View(np.array([*spot, 1.7], np.float32), _turn(ahead, np.radians(rng.normal(0, 3))), focal)


def _turn(ahead: NDArray[np.float64], roll: float) -> Array:
    ahead = unit(ahead)
    right = unit(np.cross(ahead, [0, 0, 1]))
    down = np.cross(ahead, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, ahead]).astype(np.float32)


def _scene(meshes: list[Array]) -> Any:
    open3d = import_open3d()
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)  # the pool of processes already uses all processors
    for corners in meshes:
        points, order = corners.reshape(-1, 3), np.arange(3 * len(corners), dtype=np.uint32).reshape(-1, 3)
        scene.add_triangles(open3d.core.Tensor(points), open3d.core.Tensor(order))
    return scene


def _tensor(starts: Array, rays: Array) -> Any:
    both = np.concatenate([np.broadcast_to(starts, rays.shape), rays], axis=-1)
    return import_open3d().core.Tensor(both.astype(np.float32))


def _share(place: Place, view: View, filled: float, width: int, height: int) -> float:
    """The visible share of the landmark: `filled` of the frame, relative to its whole outline without obstacles and frame."""
    if not place.landmark:
        return 0.0
    scene = _scene([place.solid.corners[place.solid.part == Part.LANDMARK]])
    rays = view.rays(width * UNBOUNDED // COARSE, height * UNBOUNDED // COARSE, UNBOUNDED)
    distance = scene.cast_rays(_tensor(view.eye, rays), nthreads=1)["t_hit"].numpy()
    whole = np.isfinite(distance).sum() * COARSE**2
    return float(min(filled * width * height / max(whole, 1), 1.0))


def _box(seen: NDArray[np.bool_], width: int, height: int) -> tuple[float, float, float, float] | None:
    if not (box := Image.fromarray(seen).getbbox()):
        return None
    down, right = height / seen.shape[0], width / seen.shape[1]
    return box[0] * right, box[1] * down, box[2] * right, box[3] * down


def _light_of(rng: Rng, shot: Shot, light: Light) -> Array:
    """Light [rows, columns, 3] that reaches the camera."""
    hit = np.isfinite(shot.distance)
    rays, distance, count = shot.rays[hit], shot.distance[hit], int(hit.sum())
    points = shot.view.eye + rays * distance[:, None]
    texels, normal = np.empty((count, 6), np.float32), np.empty((count, 3), np.float32)
    second = shot.uv[hit]
    weights = np.concatenate([1 - second.sum(axis=1, keepdims=True), second], axis=1)
    footprint = distance / np.float32(shot.view.focal * hit.shape[1])
    for k, solid in enumerate(shot.solids):
        own = (shot.solid == k)[hit]
        triangle = shot.triangle[hit][own]
        texels[own], normal[own] = seen_surface(solid, triangle, weights[own], rays[own], footprint[own])
    normal[np.einsum("nc,nc->n", normal, rays) > 0] *= -1  # a leaf is visible from both sides
    rough = bumped(normal, texels[:, 3:5])
    sunlit = np.maximum(rough @ light.sun, 0)
    lit = (sunlit > 0) & (normal @ light.sun > 0)
    above, towards = points[lit] + np.float32(0.03) * normal[lit], np.broadcast_to(light.sun, (int(lit.sum()), 3))
    lit[lit] = ~shot.scene.test_occlusions(_tensor(above, towards), nthreads=1).numpy()
    back = shine(texels, rough, sunlit * lit, light, points[:, 2], shot.part[hit] == Part.FOLIAGE)
    veil = np.exp(np.float32(-light.haze) * np.minimum(distance, FAR))[:, None]
    picture = np.empty((*hit.shape, 3), np.float32)
    picture[hit] = back * veil + light.horizon * (1 - veil)
    picture[~hit] = sky(rng, shot.rays[~hit], light)
    return picture


def develop(rng: Rng, picture: Array, width: int, height: int) -> NDArray[np.uint8]:
    """From light to pixels [height, width, 3]: exposure, white balance, tone, contrast, lens blur, vignette, sensor noise."""
    exposure = 0.42 / np.mean(np.minimum(picture, 3)) * 2 ** rng.normal(0, 0.6)
    gain = (-1.35 * exposure * np.exp(rng.normal(0, 0.12, 3))).astype(np.float32)
    tone = (1 - np.exp(picture * gain)) ** np.float32(1 / 2.2)
    grey = (tone @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]
    saturation = 0.0 if rng.random() < 0.08 else rng.uniform(0.3, 1.5)
    tone = 0.5 + (grey + (tone - grey) * saturation - 0.5) * rng.uniform(0.65, 1.35)
    image = Image.fromarray((np.clip(tone, 0, 1) * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    pixels = np.asarray(image, np.float32) * (1 - np.float32(rng.uniform(0, 0.18)) * (x**2 + y**2))[..., None]
    pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0.8, 4.5))
    return np.clip(pixels, 0, 255).astype(np.uint8)
