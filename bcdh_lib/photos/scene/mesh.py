"""Triangles with painted surfaces, and the few solids that all scenery is made of. Lengths in metres, z up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Texels = NDArray[np.uint8]  # [height, width, 6]: red, green, blue, slope along u, slope along v, glass
Ink = Sequence[float] | NDArray[Any]  # red, green, blue in 0..255
CHANNELS = 6
LEVELS = 8  # of a surface, each at half the resolution of the previous one
Span = tuple[float, float]  # from, to along an axis; or a spot on the ground


class Part(IntEnum):
    """What a triangle belongs to."""

    LANDMARK = 0
    SURROUNDINGS = 1
    FOLIAGE = 2
    PASSERBY = 3


class Surface(NamedTuple):
    """A painted surface and its sharpness."""

    texels: Texels
    density: float  # texels a metre


class Solid(NamedTuple):
    """A finished mesh as arrays, ready to be cast and shaded; n triangles, t surfaces."""

    corners: Array  # [n, 3, 3]
    uv: Array  # [n, 3, 2], u to the right and v up as seen from outside, in [0, 1]
    normals: Array  # [n, 3, 3]
    surface: NDArray[np.int32]  # [n]
    part: NDArray[np.int32]  # [n]
    texels: Texels  # [all texels, 6]
    start: NDArray[np.int64]  # [t, LEVELS], first texel
    size: NDArray[np.int32]  # [t, LEVELS, 2], height and width
    density: Array  # [t]


class Mesh:
    """Triangles of one part of the scene, growing as solids are added."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.surfaces: list[Surface] = []
        self.faces: list[tuple[Array, Array, Array, NDArray[np.int32]]] = []  # corners, uv, normals, surface, as in Solid

    def paint(self, surface: Surface) -> int:
        """Add a surface; returns the number by which triangles refer to it."""
        self.surfaces.append(surface)
        return len(self.surfaces) - 1

    def plain(self, colour: Ink) -> int:
        """A surface of one colour."""
        texels = np.full((1, 1, CHANNELS), 128, np.uint8)
        texels[..., :3], texels[..., 5] = np.clip(colour, 0, 255), 0
        return self.paint(Surface(texels, 1.0))

    def add(self, corners: Array, uv: Array, surface: int, normals: Array | None = None) -> None:
        """Add triangles [n, 3, 3], counter-clockwise from outside, with uv [n, 3, 2]; flat if no normals are given."""
        if normals is None:
            face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normals = np.repeat(unit(face)[:, None], 3, axis=1)
        kind, count = np.float32, len(corners)
        self.faces.append((corners.astype(kind), uv.astype(kind), normals.astype(kind), np.full(count, surface, np.int32)))

    def quad(self, points: Sequence[Sequence[float]], surface: int) -> None:
        """A four-cornered face: lower left, lower right, upper right, upper left as seen from outside."""
        corner, place, order = np.array(points, float), np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), [[0, 1, 2], [0, 2, 3]]
        self.add(corner[order], place[order], surface)

    def triangle(self, points: Sequence[Sequence[float]], surface: int) -> None:
        """A gable: lower left, lower right, top."""
        self.add(np.array([points], float), np.array([[[0, 0], [1, 0], [0.5, 1]]]), surface)

    def wall(self, left: Span, right: Span, z: Span, surface: int) -> None:
        """An upright face over the ground line from `left` to `right` as seen from outside."""
        self.quad([(*left, z[0]), (*right, z[0]), (*right, z[1]), (*left, z[1])], surface)

    def floor(self, x: Span, y: Span, z: float, surface: int) -> None:
        """A level rectangle, seen from above."""
        self.quad([(*corner, z) for corner in ring(x, y)], surface)

    def box(self, x: Span, y: Span, z: Span, surface: int, top: int) -> None:
        """An upright box; each of its four sides shows the whole surface."""
        corners = ring(x, y)
        for k in range(4):
            self.wall(corners[k], corners[(k + 1) % 4], z, surface)
        self.floor(x, y, z[1], top)
        self.quad([(*corner, z[0]) for corner in corners[::-1]], top)

    def revolve(
        self, at: Span, profile: Sequence[Span], sides: int, surface: int, turn: float = 0.0, smooth: bool = True
    ) -> None:
        """A solid of revolution: profile of (radius, height) from bottom to top, the surface wrapped once around it.

        With 4 sides and `smooth` False it is a square tower or pyramid, else a cylinder, cone, dome, baluster, head.
        """
        radius, height = np.array(profile, float).T
        angle = turn + np.linspace(-np.pi, np.pi, sides + 1) - np.pi / 2
        ray = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # counter-clockwise from above: to the right from outside
        points = np.empty((len(profile), sides + 1, 3))
        points[..., :2] = np.array(at) + radius[:, None, None] * ray
        points[..., 2] = height[:, None]
        run = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
        uv = np.stack(np.meshgrid(np.linspace(0, 1, sides + 1), run / max(run[-1], 1e-9)), axis=-1)
        slope = np.gradient(radius, run + 1e-6 * np.arange(len(run)))
        normal = np.empty_like(points)
        normal[..., :2], normal[..., 2] = ray, -slope[:, None]
        order = [[(0, 0), (0, 1), (1, 1)], [(0, 0), (1, 1), (1, 0)]]
        corners, places, normals = (
            np.stack([[grid[i:][: len(run) - 1, j : j + sides] for i, j in three] for three in order])
            .transpose(0, 2, 3, 1, 4)
            .reshape(-1, 3, grid.shape[-1])
            for grid in (points, uv, unit(normal))
        )
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        keep = area > 1e-9
        self.add(corners[keep], places[keep], surface, normals[keep] if smooth else None)

    def extend(self, other: Mesh, angle: float = 0.0, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Add another mesh, turned by `angle` (radians) about the upright axis and moved to `at`."""
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
        shift, first = np.array(at, np.float32), len(self.surfaces)
        self.faces += [(corners @ turn + shift, uv, normals @ turn, k + first) for corners, uv, normals, k in other.faces]
        self.surfaces += other.surfaces

    def repeat(self, other: Mesh, places: Sequence[tuple[float, float, float]]) -> None:
        """Add copies of another mesh, moved to each of the places."""
        count, shift, first = len(places), np.array(places, np.float32).reshape(-1, 1, 1, 3), len(self.surfaces)
        for corners, uv, normals, k in other.faces:
            uv, normals = np.tile(uv, (count, 1, 1)), np.tile(normals, (count, 1, 1))
            self.faces.append(((corners + shift).reshape(-1, 3, 3), uv, normals, np.tile(k + first, count)))
        self.surfaces += other.surfaces


def ring(x: Span, y: Span) -> list[Span]:
    """The corners of a rectangle, counter-clockwise from above, first the one with the smallest x and y."""
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]


def solidify(meshes: Iterable[Mesh]) -> Solid:
    """One solid of several meshes, its surfaces laid end to end with their coarser levels."""
    meshes = [mesh for mesh in meshes if mesh.faces]
    surfaces = [surface for mesh in meshes for surface in mesh.surfaces]
    first = np.cumsum([0] + [len(mesh.surfaces) for mesh in meshes])
    corners, uv, normals, _ = (
        np.concatenate(each) for each in zip(*(faces for mesh in meshes for faces in mesh.faces), strict=True)
    )
    levels = [_levels(surface.texels) for surface in surfaces]
    size = np.array([[level.shape[:2] for level in each] for each in levels], np.int32)
    length = size.prod(axis=2, dtype=np.int64)
    return Solid(
        corners,
        uv,
        normals,
        surface=np.concatenate([faces[3] + shift for mesh, shift in zip(meshes, first, strict=False) for faces in mesh.faces]),
        part=np.concatenate([np.full(len(faces[3]), mesh.part, np.int32) for mesh in meshes for faces in mesh.faces]),
        texels=np.concatenate([level.reshape(-1, CHANNELS) for each in levels for level in each]),
        start=(np.cumsum(length) - length.ravel()).reshape(length.shape),
        size=size,
        density=np.array([surface.density for surface in surfaces], np.float32),
    )


def _levels(texels: Texels) -> list[Texels]:
    levels = [texels]
    while len(levels) < LEVELS:
        fine = levels[-1]
        height, width = fine.shape[0] // 2 * 2, fine.shape[1] // 2 * 2
        if height and width:
            rows = fine[:height:2, :width].astype(np.uint16) + fine[1:height:2, :width]
            fine = ((rows[:, ::2] + rows[:, 1::2]) >> 2).astype(np.uint8)
        levels.append(fine)
    return levels


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors [..., 3] at length 1."""
    length = np.sqrt(np.einsum("...c,...c->...", vectors, vectors))
    return vectors / np.maximum(length, 1e-9)[..., None]
