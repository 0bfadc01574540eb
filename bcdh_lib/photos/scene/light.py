"""Sun, sky and air, and the light that painted surfaces reflect. Colours are linear light; lengths in metres."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcdh_lib.photos.scene.facades import SLOPE, Rng, noise
from bcdh_lib.photos.scene.mesh import LEVELS, Array, Solid, Span, unit

LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(2.2)  # of a painted colour
CLOUDS = 1200  # texels of a side of the clouds
GROUND = 0.05  # m; anything lower is the ground
WHITE, LAMP = np.float32(0.8), np.array((2.0, 1.3, 0.6), np.float32)  # snow, lamplight
MIRROR = np.float32(0.42)  # share of the light that glass reflects or lets out
SEASONS = ((1, 1, 1), (1.2, 1.25, 0.8), (2.0, 1.0, 0.5), (0.8, 0.75, 0.7), (1.6, 1.3, 0.6))  # tints of leaves


class Weather(NamedTuple):
    """A kind of weather; ranges are drawn from uniformly."""

    chance: float
    rise: Span  # degrees of the sun over the horizon
    strength: Span  # of direct light
    beam: Sequence[float]  # colour of direct light
    dome: Sequence[float]  # colour of light from the sky
    zenith: Sequence[float]  # colour of the sky above
    horizon: Sequence[float]  # colour of the sky at the horizon
    cover: Span  # of clouds, -2 clear .. 2 overcast
    lamps: float = 0.0  # light behind the windows, at most


WEATHERS = (  # sunny, overcast, low sun, dusk
    Weather(0.42, (22, 68), (2.0, 3.2), (1, 0.95, 0.85), (0.5, 0.6, 0.8), (0.16, 0.34, 0.75), (0.62, 0.74, 0.9), (-2, 0.6)),
    Weather(0.28, (50, 50), (0.15, 0.15), (1, 1, 1), (0.95, 0.97, 1.0), (0.62, 0.65, 0.7), (0.85, 0.87, 0.9), (0.5, 2)),
    Weather(0.18, (6, 18), (1.6, 2.6), (1, 0.68, 0.4), (0.42, 0.44, 0.6), (0.25, 0.34, 0.6), (0.95, 0.7, 0.48), (-1.5, 0.8)),
    Weather(0.12, (50, 50), (0.1, 0.1), (1, 0.6, 0.5), (0.5, 0.52, 0.75), (0.12, 0.16, 0.36), (0.7, 0.5, 0.5), (-1.5, 1.5), 0.9),
)


class Light:
    """The light of one photo: a random time of day and weather; in most photos the sun is behind the camera.

    heading: direction of the camera, in radians from +x.
    """

    def __init__(self, rng: Rng, heading: float) -> None:
        weather = WEATHERS[rng.choice(len(WEATHERS), p=[each.chance for each in WEATHERS])]
        rise = np.radians(rng.uniform(*weather.rise))
        turn = heading + np.pi + (rng.normal(0, 0.9) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi))
        fog = rng.uniform(0.002, 0.006) if rng.random() < 0.06 else 0.0
        self.sun = _colour((np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)))  # unit, towards the sun
        self.beam = _colour(weather.beam) * np.float32(rng.uniform(*weather.strength))
        self.dome, self.zenith, self.horizon = _colour(weather.dome), _colour(weather.zenith), _colour(weather.horizon)
        self.cover = rng.uniform(*weather.cover)
        self.haze = rng.exponential(0.0006) + fog  # 1 / m
        season = SEASONS[rng.choice(len(SEASONS), p=[0.45, 0.2, 0.15, 0.1, 0.1])]
        self.leaves = _colour(season) * np.float32(rng.uniform(0.7, 1.2))
        wet = rng.normal(0, 0.25) + rng.normal(0, 0.1, 3)
        self.soil = np.exp(wet).astype(np.float32)  # tint of the ground
        self.snow = rng.uniform(0.6, 1.0) if rng.random() < 0.12 else 0.0  # share of flat surfaces that it covers
        self.lamps = rng.uniform(0, weather.lamps)
        self.glare = rng.uniform(0.1, 0.45)  # how bright glass mirrors the sky


def _colour(values: Sequence[float]) -> Array:
    return np.array(values, np.float32)


def sky(rng: Rng, rays: Array, light: Light) -> Array:
    """Light [n, 3] of the sky along rays [n, 3]: from the horizon's colour to the zenith's, with clouds."""
    rise = np.clip(rays[:, 2], 0, 1)
    blue = light.horizon + (light.zenith - light.horizon) * (rise ** np.float32(0.6))[:, None]
    clouds = noise(rng, (CLOUDS, CLOUDS), 256)
    spot = ((rays[:, :2] / (rise + 0.12)[:, None] * 0.115 + 1) * CLOUDS / 2).astype(np.int64)
    density = 1 / (1 + np.exp(-3 * (clouds[spot[:, 1], spot[:, 0]] + light.cover - 0.4)))
    white = 0.9 * light.dome + 0.18 * light.beam
    return blue + (white - blue) * (0.85 * density)[:, None]


def seen_surface(solid: Solid, triangle: NDArray[np.int64], weights: Array, rays: Array, footprint: Array) -> tuple[Array, Array]:
    """Texels [n, 6] and smooth normals [n, 3] where rays [n, 3] hit triangles [n].

    weights: of the triangle's three corners, [n, 3]; footprint: width of a ray where it hits, [n], m.
    """
    normal = unit(np.einsum("nk,nkc->nc", weights, solid.normals[triangle]))
    uv = np.einsum("nk,nkc->nc", weights, solid.uv[triangle])
    surface = solid.surface[triangle]
    slant = np.maximum(np.abs(np.einsum("nc,nc->n", normal, rays)), 0.15)
    level = np.log2(np.maximum(footprint / np.sqrt(slant) * solid.density[surface], 1e-6))
    return _texels(solid, surface, np.clip(np.round(level), 0, LEVELS - 1).astype(np.int64), uv), normal


def _texels(solid: Solid, surface: NDArray[np.int32], level: NDArray[np.int64], uv: Array) -> Array:
    """Bilinear between the four texels around each place uv of its surface, at its level of sharpness."""
    start, (height, width) = solid.start[surface, level], solid.size[surface, level].T
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1).astype(np.float32)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1).astype(np.float32)
    left, top = x.astype(np.int64), y.astype(np.int64)
    fx, fy = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
    right = np.minimum(left + 1, width - 1)
    first, second = start + top * width, start + np.minimum(top + 1, height - 1) * width
    upper = solid.texels[first + left] * (1 - fx) + solid.texels[first + right] * fx
    lower = solid.texels[second + left] * (1 - fx) + solid.texels[second + right] * fx
    return upper * (1 - fy) + lower * fy


def bumped(normal: Array, slopes: Array) -> Array:
    """Normals [n, 3] tilted by the relief of their surfaces; slopes [n, 2] as texels hold them."""
    right = np.stack([-normal[:, 1], normal[:, 0], np.zeros(len(normal), np.float32)], axis=1)
    right /= np.maximum(np.sqrt(np.einsum("nc,nc->n", right, right)), 1e-3)[:, None]
    slope = (slopes - 128) / SLOPE
    return unit(normal - slope[:, :1] * right - slope[:, 1:] * np.cross(normal, right))


def shine(texels: Array, rough: Array, sunlit: Array, light: Light, height: Array, leaf: NDArray[np.bool_]) -> Array:
    """Light [n, 3] that painted surfaces reflect.

    texels [n, 6]; rough: normals with relief, [n, 3]; sunlit: cosine to the sun, 0 in shadow, [n]; height over the
    ground, [n], m (low surfaces receive less skylight); leaf: bool [n].
    """
    albedo = LINEAR[texels[:, :3].astype(np.uint8)]
    albedo[leaf] *= light.leaves
    albedo[height < GROUND] *= light.soil
    if light.snow:
        albedo += (WHITE - albedo) * (np.float32(light.snow) * np.clip(2 * rough[:, 2] - 0.6, 0, 1))[:, None]
    up = 0.5 + 0.5 * rough[:, 2]
    open_sky = up * (0.65 + 0.35 * np.clip(height / 4, 0, 1))
    ambient = open_sky[:, None] * light.dome + ((1 - up) * 0.25)[:, None] * (light.dome + 0.3 * light.beam)
    glass = texels[:, 5:] / 255
    behind = np.float32(light.glare) * (light.horizon + light.zenith) + np.float32(light.lamps) * LAMP
    return albedo * (ambient + sunlit[:, None] * light.beam) * (1 - MIRROR * glass) + MIRROR * glass * behind
