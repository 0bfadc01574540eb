"""The camera: where it stands, the light of the hour, rays cast and shaded, and what lens, sensor and haste do to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bcdh_lib.open3d_import import import_open3d
from bcdh_lib.scenery.facades import Rng, noise
from bcdh_lib.scenery.mesh import LEVELS, Array, Part, Solid, solidify
from bcdh_lib.scenery.places import Place, passers_by

SUPERSAMPLING = 1.5  # rays a pixel along each side
LINEAR = (np.arange(256, dtype=np.float32) / 255) ** 2.2
TAKES = 8  # tries at a photo that shows the landmark at all
UNBOUNDED = 5  # how many frames wide the view is in which the whole landmark is counted
COARSE = 8  # pixels between the rays of that count
NOWHERE = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True)
class View:
    """Where the camera stands and looks."""

    eye: Array  # [3], m
    turn: Array  # [3, 3], rows: right, down, ahead
    focal: float  # in widths of the picture


@dataclass(frozen=True)
class Light:
    """Sun, sky and air of one photo; colours are linear."""

    sun: Array  # [3], unit, towards the sun
    beam: Array  # [3], colour of direct light
    dome: Array  # [3], colour of light from the sky
    zenith: Array  # [3], colour of the sky above
    horizon: Array  # [3], and low down
    cover: float  # of clouds, -2 clear .. 2 closed
    haze: float  # 1 / m


@dataclass(frozen=True)
class Photo:
    """A finished photo, and how much of the landmark it shows."""

    pixels: NDArray[np.uint8]  # [height, width, 3]
    quality: int  # of its JPEG
    share: float  # of the whole landmark's outline, seen from there without frame and obstacles
    box: tuple[float, float, float, float] | None  # x1, y1, x2, y2 in px around what is seen of the landmark


def photograph(rng: Rng, place: Place, width: int, height: int, least: float = 0.04, plain: bool = False) -> Photo:
    """A photo of the place's landmark, or where it has none, of the place.

    A photo that shows less than `least` of the frame filled by the landmark, or (plain) less than that share of
    the landmark, is taken anew, up to TAKES times.
    """
    scenes = Scenes(place)
    for take in range(TAKES):
        view = draw_view(rng, place, height / width, plain)
        crowd = passers_by(rng, view.eye, float(np.arctan2(view.turn[2, 1], view.turn[2, 0])), _clear(view, place))
        shot = scenes.cast(view, solidify([crowd]) if crowd.corners else None, width, height)
        seen = shot.part == Part.LANDMARK
        share = scenes.share(view, seen, width, height) if place.kind != "none" else 0.0
        if place.kind == "none" or (share if plain else seen.mean()) >= least or take == TAKES - 1:
            break
    light = draw_light(rng, view)
    picture = develop(rng, _shade(rng, shot, light), width, height)
    return Photo(picture, int(rng.integers(62, 96)), share, _box(seen, width, height))


def _clear(view: View, place: Place) -> float:
    return max(float(np.linalg.norm(view.eye[:2])) - 0.4 * place.size, 8.0)


def _box(seen: NDArray[np.bool_], width: int, height: int) -> tuple[float, float, float, float] | None:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    down, right = height / seen.shape[0], width / seen.shape[1]
    return columns[0] * right, rows[0] * down, (columns[-1] + 1) * right, (rows[-1] + 1) * down


def draw_view(rng: Rng, place: Place, aspect: float, plain: bool) -> View:
    """A tourist's place to stand and to point at: mostly from the front, at times from the side or far off, zoomed in or not."""
    field = np.radians(rng.uniform(42, 66))
    zoom = 1.0 if plain or rng.random() < 0.6 else float(np.exp(rng.uniform(0.1, np.log(3.0))))
    spread = rng.choice([32, 70, 180], p=[0.72, 0.2, 0.08]) if not plain else 35
    turn = np.radians(rng.uniform(-spread, spread))
    half = np.tan(field / 2)
    fits = max(place.height / (2 * half * aspect), place.size / (2 * half)) * rng.uniform(1.0, 1.7) + 0.2 * place.size
    away = min(max(fits, 0.9 * place.size), 0.92 * place.radius)
    lift = 1.7 if rng.random() < 0.8 else rng.uniform(2, 0.5 * place.height + 3)
    eye = np.array([away * np.sin(turn), -away * np.cos(turn), lift])
    reach = 0.5 if zoom > 1.2 else 0.15
    aim = np.array([rng.uniform(-reach, reach) * 0.8 * place.size, 0.0, place.height * (0.47 + rng.uniform(-reach, reach) * 0.8)])
    side = np.array([np.cos(turn), np.sin(turn), 0.0])
    ahead = side * aim[0] + [0, 0, aim[2]] - eye
    return View(eye.astype(np.float32), _turn(ahead, np.radians(rng.normal(0, 1.8))), float(zoom / (2 * half)))


def _turn(ahead: Array, roll: float) -> Array:
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, ahead]).astype(np.float32)


def draw_light(rng: Rng, view: View) -> Light:
    """Hour and weather: sun from anywhere, though most photos are taken with it at one's back."""
    weather = rng.choice(["sunny", "overcast", "low sun", "dusk"], p=[0.48, 0.28, 0.16, 0.08])
    rise = np.radians({"sunny": rng.uniform(22, 68), "low sun": rng.uniform(6, 18)}.get(str(weather), 50))
    behind = np.arctan2(-view.turn[2, 1], -view.turn[2, 0])
    turn = behind + (rng.normal(0, 0.9) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi))
    sun = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    strength, beam, dome, zenith, horizon, cover = {
        "sunny": (
            rng.uniform(2.0, 3.2),
            (1, 0.95, 0.85),
            (0.5, 0.6, 0.8),
            (0.16, 0.34, 0.75),
            (0.62, 0.74, 0.9),
            rng.uniform(-2, 0.6),
        ),
        "overcast": (0.15, (1, 1, 1), (0.95, 0.97, 1.0), (0.62, 0.65, 0.7), (0.85, 0.87, 0.9), rng.uniform(0.5, 2)),
        "low sun": (
            rng.uniform(1.6, 2.6),
            (1, 0.68, 0.4),
            (0.42, 0.44, 0.6),
            (0.25, 0.34, 0.6),
            (0.95, 0.7, 0.48),
            rng.uniform(-1.5, 0.8),
        ),
        "dusk": (0.1, (1, 0.6, 0.5), (0.5, 0.52, 0.75), (0.12, 0.16, 0.36), (0.7, 0.5, 0.5), rng.uniform(-1.5, 1.5)),
    }[str(weather)]
    haze = rng.exponential(0.0012) + (rng.uniform(0.002, 0.008) if rng.random() < 0.12 else 0)
    colours = [np.array(c, np.float32) for c in (np.array(beam) * strength, dome, zenith, horizon)]
    return Light(sun.astype(np.float32), *colours, cover=float(cover), haze=float(haze))


@dataclass(frozen=True)
class Shot:
    """Rays and what they hit, [rows, columns, ...]."""

    view: View
    rays: Array  # [rows, columns, 3], unit
    distance: Array  # m, inf where the sky is
    part: NDArray[np.int32]  # -1 where the sky is
    solids: tuple[Solid, ...]
    solid: NDArray[np.int64]  # which solid
    triangle: NDArray[np.int64]
    uv: Array  # [rows, columns, 2], weights of the triangle's second and third corner
    scene: object


class Scenes:
    """The place as the ray caster sees it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.open3d = import_open3d()
        solid = place.solid
        self.alone = self._scene(solid.corners[solid.part == Part.LANDMARK]) if place.kind != "none" else None

    def _scene(self, *corners: Array) -> object:
        scene = self.open3d.t.geometry.RaycastingScene(nthreads=1)
        for triangles in corners:
            count = len(triangles)
            scene.add_triangles(
                self.open3d.core.Tensor(np.ascontiguousarray(triangles.reshape(-1, 3), np.float32)),
                self.open3d.core.Tensor(np.arange(3 * count, dtype=np.uint32).reshape(count, 3)),
            )
        return scene

    def cast(self, view: View, crowd: Solid | None, width: int, height: int) -> Shot:
        """All rays of one picture, a few to each pixel."""
        solids = (self.place.solid, *((crowd,) if crowd else ()))
        scene = self._scene(*(solid.corners for solid in solids))
        shape = round(height * SUPERSAMPLING), round(width * SUPERSAMPLING)
        rays = _rays(view, shape[1], shape[0], 1.0)
        hits = _cast(scene, self.open3d, view.eye, rays)
        solid, triangle = hits["geometry_ids"].astype(np.int64), hits["primitive_ids"].astype(np.int64)
        part = np.full(shape, -1, np.int32)
        for k, each in enumerate(solids):
            part[solid == k] = each.part[triangle[solid == k]]
        return Shot(view, rays, hits["t_hit"], part, solids, solid, triangle, hits["primitive_uvs"], scene)

    def share(self, view: View, seen: NDArray[np.bool_], width: int, height: int) -> float:
        """Seen pixels of the landmark over those it would have with nothing before it and no frame around it."""
        shape = height * UNBOUNDED // COARSE, width * UNBOUNDED // COARSE
        rays = _rays(view, shape[1], shape[0], UNBOUNDED)
        whole = np.isfinite(_cast(self.alone, self.open3d, view.eye, rays)["t_hit"]).sum() * COARSE**2
        return float(min(seen.mean() * width * height / max(whole, 1), 1.0))


def _rays(view: View, columns: int, rows: int, frames: float) -> Array:
    x = ((np.arange(columns) + 0.5) / columns - 0.5) * frames / view.focal
    y = ((np.arange(rows) + 0.5) / rows - 0.5) * frames / view.focal * (rows / columns)
    rays = np.stack([*np.meshgrid(x, y), np.ones((rows, columns))], axis=-1).astype(np.float32) @ view.turn
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def _cast(scene: object, open3d: object, eye: Array, rays: Array) -> dict[str, NDArray]:
    both = np.concatenate([np.broadcast_to(eye, rays.shape), rays], axis=-1)
    return {name: value.numpy() for name, value in scene.cast_rays(open3d.core.Tensor(both), nthreads=1).items()}


def _shade(rng: Rng, shot: Shot, light: Light) -> Array:
    """Linear light [rows, columns, 3] that reaches the camera."""
    hit = np.isfinite(shot.distance)
    picture = _sky(rng, shot.rays, light)
    points = shot.view.eye + shot.rays[hit] * shot.distance[hit][:, None]
    texels, normal = np.empty((hit.sum(), 6), np.float32), np.empty((hit.sum(), 3), np.float32)
    for k, solid in enumerate(shot.solids):
        chosen = (shot.solid == k)[hit]
        texels[chosen], normal[chosen] = _surface(solid, shot, hit & (shot.solid == k))
    away = (normal * shot.rays[hit]).sum(axis=1) > 0
    normal[away] *= -1
    rough = _bumped(normal, texels[:, 3:5])
    facing = rough @ light.sun
    lit = (facing > 0) & ((normal @ light.sun) > 0)
    lit[lit] = ~_shadowed(shot.scene, points[lit] + 0.03 * normal[lit], light.sun)
    albedo = LINEAR[texels[:, :3].astype(np.uint8)]
    foliage = shot.part[hit] == Part.FOLIAGE
    albedo[foliage] *= _season(rng)
    up = 0.5 + 0.5 * rough[:, 2]
    low = np.clip(points[:, 2] / 4, 0, 1) * 0.35 + 0.65
    sky = (up * low)[:, None] * light.dome + (1 - up)[:, None] * 0.25 * (light.dome + 0.3 * light.beam)
    shine = albedo * (sky + (np.maximum(facing, 0) * lit)[:, None] * light.beam)
    mirror = 0.42 * texels[:, 5:6] / 255
    shine = shine * (1 - mirror) + mirror * 0.5 * (light.horizon + light.zenith) * rng.uniform(0.2, 0.9)
    veil = np.exp(-light.haze * np.minimum(shot.distance[hit], 1500))[:, None]
    picture[hit] = shine * veil + light.horizon * (1 - veil)
    return picture


def _season(rng: Rng) -> Array:
    tints = [(1, 1, 1), (1.2, 1.25, 0.8), (2.0, 1.0, 0.5), (0.8, 0.75, 0.7), (1.6, 1.3, 0.6)]
    return np.array(tints[rng.choice(5, p=[0.45, 0.2, 0.15, 0.1, 0.1])], np.float32) * np.float32(rng.uniform(0.7, 1.2))


def _shadowed(scene: object, points: Array, sun: Array) -> NDArray[np.bool_]:
    rays = np.concatenate([points, np.broadcast_to(sun, points.shape)], axis=1).astype(np.float32)
    open3d = import_open3d()
    return scene.test_occlusions(open3d.core.Tensor(rays), nthreads=1).numpy()


def _surface(solid: Solid, shot: Shot, hit: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Texels [n, 6] and smooth normals [n, 3] where the rays hit a solid."""
    triangle, second = shot.triangle[hit], shot.uv[hit]
    weights = np.stack([1 - second.sum(axis=1), second[:, 0], second[:, 1]], axis=1)
    normal = np.einsum("nk,nkc->nc", weights, solid.normals[triangle])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    uv = np.einsum("nk,nkc->nc", weights, solid.uv[triangle])
    surface = solid.surface[triangle]
    slant = np.maximum(np.abs((normal * shot.rays[hit]).sum(axis=1)), 0.15)
    pixel = shot.distance[hit] / (shot.view.focal * shot.rays.shape[1])  # m across one ray's footprint
    level = np.log2(np.maximum(pixel / np.sqrt(slant) * solid.density[surface], 1e-6))
    level = np.clip(np.round(level), 0, LEVELS - 1).astype(int)
    return _bilinear(solid, surface, level, uv), normal


def _bilinear(solid: Solid, surface: NDArray[np.int32], level: NDArray[np.int64], uv: Array) -> Array:
    start, (height, width) = solid.start[surface, level], solid.size[surface, level].T
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    fx, fy = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    upper = solid.texels[start + top * width + left] * (1 - fx) + solid.texels[start + top * width + right] * fx
    lower = solid.texels[start + low * width + left] * (1 - fx) + solid.texels[start + low * width + right] * fx
    return upper * (1 - fy) + lower * fy


def _bumped(normal: Array, slopes: Array) -> Array:
    """Normals tilted by a surface's relief; u runs to the right and v up as seen from outside."""
    right = np.stack([-normal[:, 1], normal[:, 0], np.zeros(len(normal), np.float32)], axis=1)
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-3)
    up = np.cross(normal, right)
    slope = (slopes - 128) / 50
    tilted = normal - slope[:, :1] * right - slope[:, 1:] * up
    return tilted / np.linalg.norm(tilted, axis=1, keepdims=True)


def _sky(rng: Rng, rays: Array, light: Light) -> Array:
    rise = np.clip(rays[..., 2], 0, 1)
    sky = light.horizon + (light.zenith - light.horizon) * (rise**0.6)[..., None]
    clouds = noise(rng, (256, 256), 90, 6)
    plane = rays[..., :2] / (rise + 0.12)[..., None] * 30
    spot = (plane + rng.uniform(0, 256, 2)).astype(np.int64) % 256
    density = 1 / (1 + np.exp(-3 * (clouds[spot[..., 1], spot[..., 0]] + light.cover - 0.4)))
    white = light.dome * 0.9 + 0.18 * light.beam
    return (sky + (white - sky) * (0.85 * density)[..., None]).astype(np.float32)


def develop(rng: Rng, picture: Array, width: int, height: int) -> NDArray[np.uint8]:
    """From light to pixels: exposure, white balance, tone, contrast, lens blur, vignette, sensor noise."""
    exposure = 0.42 / np.mean(np.minimum(picture, 3)) * 2 ** rng.normal(0, 0.45)
    tone = 1 - np.exp(-1.35 * picture * exposure * np.exp(rng.normal(0, 0.07, 3)))
    tone = tone.astype(np.float32) ** np.float32(1 / 2.2)
    grey = tone @ np.array([0.3, 0.59, 0.11], np.float32)
    saturation = 0.0 if rng.random() < 0.04 else rng.uniform(0.6, 1.35)
    tone = grey[..., None] + (tone - grey[..., None]) * saturation
    tone = 0.5 + (tone - 0.5) * rng.uniform(0.75, 1.3)
    image = Image.fromarray((np.clip(tone, 0, 1) * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0)))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pixels = np.asarray(image, np.float32) * (1 - rng.uniform(0, 0.18) * (x**2 + y**2))[..., None]
    pixels += rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0.8, 7.0)
    return np.clip(pixels, 0, 255).astype(np.uint8)
