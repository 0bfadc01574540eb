"""Triangles with painted surfaces, and the few solids that all scenery is made of. Lengths in metres, z up."""

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


Part = IntEnum("Part", "LANDMARK SURROUNDINGS FOLIAGE PASSERBY", start=0)
"""What a triangle belongs to."""


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
    """Triangles of the scene, growing as solids are added; new ones belong to `part`."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.surfaces: list[Surface] = []
        self.faces: list[tuple[NDArray[Any], ...]] = []  # corners, uv, normals, surface, part, as in Solid

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
        numbers = (np.full(len(corners), number, np.int32) for number in (surface, self.part))
        self.faces.append((*(each.astype(np.float32) for each in (corners, uv, normals)), *numbers))

    def face(self, points: Sequence[Sequence[float]] | NDArray[Any], surface: int) -> None:
        """A flat face: lower left, lower right, upper right, upper left as seen from outside; or a gable, its top last."""
        uv = [[0, 0], [1, 0], [1, 1], [0, 1]] if len(points) == 4 else [[0, 0], [1, 0], [0.5, 1]]
        order = [[0, 1, 2], [0, 2, 3]][: len(points) - 2]
        self.add(np.array(points, float)[order], np.array(uv)[order], surface)

    def wall(self, left: Span, right: Span, z: Span, surface: int) -> None:
        """An upright face over the ground line from `left` to `right` as seen from outside."""
        self.face([(*left, z[0]), (*right, z[0]), (*right, z[1]), (*left, z[1])], surface)

    def floor(self, x: Span, y: Span, z: float, surface: int) -> None:
        """A level rectangle, seen from above."""
        self.face([(*corner, z) for corner in ring(x, y)], surface)

    def box(self, x: Span, y: Span, z: Span, surface: int, top: int) -> None:
        """An upright box; each of its four sides shows the whole surface."""
        for left, right in sides(ring(x, y)):
            self.wall(left, right, z, surface)
        self.floor(x, y, z[1], top)
        self.face([(*corner, z[0]) for corner in ring(x, y)[::-1]], top)

    def revolve(
        self, at: Span, profile: Sequence[Span], sides: int, surface: int, turn: float = 0.0, smooth: bool = True
    ) -> None:
        """A solid of revolution: profile of (radius, height) from bottom to top, the surface wrapped once around it.

        With 4 sides and `smooth` False it is a square tower or pyramid, else a cylinder, cone, dome, baluster, head.
        """
        radius, height = np.array(profile, float).T[..., None]
        angle = turn + np.linspace(-np.pi, np.pi, sides + 1) - np.pi / 2
        across, along = np.cos(angle), np.sin(angle)  # counter-clockwise from above: to the right from outside
        points = _grid(at[0] + radius * across, at[1] + radius * along, height)
        run = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius[:, 0]), np.diff(height[:, 0])))])
        uv = _grid(np.linspace(0, 1, sides + 1), (run / max(run[-1], 1e-9))[:, None])
        slope = np.gradient(radius[:, 0], run + 1e-6 * np.arange(len(run)))
        normal = unit(_grid(across, along, -slope[:, None]))
        spot = np.arange(len(run) * (sides + 1)).reshape(len(run), -1)
        low, right, high, left = spot[:-1, :-1], spot[:-1, 1:], spot[1:, 1:], spot[1:, :-1]
        order = np.stack([[low, right, high], [low, high, left]]).transpose(0, 2, 3, 1).reshape(-1, 3)
        corners, places, normals = (grid.reshape(-1, grid.shape[-1])[order] for grid in (points, uv, normal))
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        keep = area > 1e-9
        self.add(corners[keep], places[keep], surface, normals[keep] if smooth else None)

    def extend(self, other: "Mesh", angle: float = 0.0, places: Sequence[Sequence[float]] = ((0.0, 0.0, 0.0),)) -> None:
        """Add copies of another mesh, turned by `angle` (radians) about the upright axis and moved to each of the places."""
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
        shift, first, count = np.array(places, np.float32).reshape(-1, 1, 1, 3), len(self.surfaces), len(places)
        for corners, uv, normals, surface, part in other.faces:
            moved = (corners @ turn + shift).reshape(-1, 3, 3)
            copies = (np.tile(each, (count, 1, 1)) for each in (uv, normals @ turn))
            self.faces.append((moved, *copies, np.tile(surface + first, count), np.tile(part, count)))
        self.surfaces += other.surfaces


def _grid(*axes: NDArray[Any]) -> NDArray[Any]:
    return np.stack(np.broadcast_arrays(*axes), axis=-1)


def ring(x: Span, y: Span) -> list[Span]:
    """The corners of a rectangle, counter-clockwise from above, first the one with the smallest x and y."""
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]


def sides(corners: Sequence[Span]) -> Iterable[tuple[Span, Span]]:
    """The sides of a polygon: each corner and the next one."""
    return zip(corners, [*corners[1:], corners[0]], strict=True)


def polar(at: Span, radius: float, turn: float) -> Span:
    """The point at a distance from another, `turn` radians from +x."""
    return at[0] + radius * np.cos(turn), at[1] + radius * np.sin(turn)


def solidify(meshes: Iterable[Mesh]) -> Solid:
    """One solid of several meshes, its surfaces laid end to end with their coarser levels."""
    whole = Mesh(Part.LANDMARK)
    for mesh in meshes:
        whole.extend(mesh)
    levels = [_levels(surface.texels) for surface in whole.surfaces]
    size = np.array([[level.shape[:2] for level in each] for each in levels], np.int32)
    length = size.prod(axis=2, dtype=np.int64)
    corners, uv, normals, surface, part = (np.concatenate(arrays) for arrays in zip(*whole.faces, strict=True))
    return Solid(
        *(corners, uv, normals, surface, part),
        texels=np.concatenate([level.reshape(-1, CHANNELS) for each in levels for level in each]),
        start=(np.cumsum(length) - length.ravel()).reshape(length.shape),
        size=size,
        density=np.array([surface.density for surface in whole.surfaces], np.float32),
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
