"""Places: a landmark on its square with houses and trees around it; and passers-by, new in every photo."""

from typing import NamedTuple

import numpy as np

from bcdh_lib.photos.scene import facades
from bcdh_lib.photos.scene.facades import Rng
from bcdh_lib.photos.scene.landmarks import Mason, build_landmark
from bcdh_lib.photos.scene.mesh import Mesh, Part, Solid, Span, solidify

HOUSES = 0.36  # sharpness of the houses around a landmark, relative to its own
EDGE = 2.3  # radius of the square, in sizes of its landmark
LEAVES, GREENS = 420, ((70, 98, 44), (92, 116, 52), (54, 80, 40), (110, 124, 60))  # of a tree


class Place(NamedTuple):
    """A landmark (or none) and its permanent surroundings."""

    solid: Solid
    landmark: bool
    height: float  # m, of the landmark
    size: float  # m, the larger of the landmark's height and width
    radius: float  # m, of the open square


def build_place(rng: Rng, landmark: bool, sharpness: float = 1.0) -> Place:
    """The square around a new landmark, or an ordinary square. Its surfaces suit photos of 320 px, times `sharpness`."""
    if landmark:
        mesh, height, width = build_landmark(rng, sharpness)
    else:
        mesh, height, width = Mesh(Part.LANDMARK), rng.uniform(8, 20), rng.uniform(10, 20)
    size = max(height, width)
    radius = max(EDGE * size, 45.0)
    around, side, far = Mesh(Part.SURROUNDINGS), 1.3 * radius, 4000.0
    around.floor((-side, side), (-side, side), 0.0, around.paint(facades.ground(rng, 2 * side, sharpness)))
    around.floor((-far, far), (-far, far), -0.5, around.plain((118, 116, 104)))
    _houses(rng, around, radius, rng.choice([0.35, 0.7, 1.0]), HOUSES * sharpness)
    return Place(solidify([mesh, around, _trees(rng, size, radius)]), landmark, height, size, radius)


def _houses(rng: Rng, mesh: Mesh, radius: float, built: float, sharpness: float) -> None:
    """A ring of ordinary houses around the square, with gaps."""
    angle = rng.uniform(0, 0.3)
    while angle < 2 * np.pi:
        width, depth, wall = rng.uniform(14, 34), 11.0, rng.uniform(7, 20)
        step = width / radius
        if rng.random() < built:
            mason = Mason(rng, facades.Style(rng, sharpness), Part.SURROUNDINGS)
            _house(mason, width, depth, wall)
            away = radius * rng.uniform(1.0, 1.08)
            middle = angle + step / 2
            mesh.extend(mason, -middle, [(away * np.sin(middle), away * np.cos(middle), 0.0)])
        angle += step * 1.03


def _house(mason: Mason, width: float, depth: float, wall: float) -> None:
    """An ordinary house; its sides are equal, and it has no back, which is never visible."""
    front = mason.facade(width, wall, shop=mason.chance(0.5))
    side, x = mason.facade(depth, wall), width / 2
    mason.wall((-x, 0.0), (x, 0.0), (0.0, wall), front)
    mason.wall((x, 0.0), (x, depth), (0.0, wall), side)
    mason.wall((-x, depth), (-x, 0.0), (0.0, wall), side)
    if mason.chance(0.7):
        mason.gable_roof((-x, x), (0.0, depth), wall, mason.rng.uniform(3, 6), "x")
    else:
        mason.floor((-x, x), (0.0, depth), wall, mason.trim())


def _trees(rng: Rng, size: float, radius: float) -> Mesh:
    """Trees at the edge of the square, a few near the landmark."""
    mesh = Mesh(Part.FOLIAGE)
    greens = [mesh.plain(np.array(rgb) * rng.uniform(0.8, 1.2)) for rgb in GREENS]
    bark = mesh.plain((78, 64, 52))
    for _ in range(int(rng.integers(4, 16))):
        near, turn = rng.random() < 0.25, rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0.6, 0.85) * size if near else rng.uniform(0.75, 0.97) * radius
        height = rng.uniform(3, 7) if near else rng.uniform(6, 14)
        tree(rng, mesh, (away * np.cos(turn), away * np.sin(turn)), height, greens, bark)
    return mesh


def tree(rng: Rng, mesh: Mesh, at: Span, height: float, greens: list[int], bark: int) -> None:
    """A trunk and a crown of single leaves and twigs, `height` metres high."""
    mesh.revolve(at, [(0.035 * height, 0), (0.02 * height, 0.6 * height)], 6, bark)
    crown = rng.standard_normal((LEAVES, 3))
    crown *= (rng.random((LEAVES, 1)) ** 0.4) / np.linalg.norm(crown, axis=1, keepdims=True)
    centre = np.array([at[0], at[1], 0.65 * height]) + crown * np.array([0.3, 0.3, 0.36]) * height
    leaf = (centre[:, None] + rng.normal(0, 0.055 * height, (LEAVES, 3, 3))).astype(np.float32)
    kind = rng.integers(len(greens), size=LEAVES)
    for k, green in enumerate(greens):
        chosen = leaf[kind == k]
        mesh.add(chosen, np.full((len(chosen), 3, 2), 0.5), green)


def passers_by(rng: Rng, eye: np.ndarray, heading: float, clear: float) -> Mesh:
    """People, cars, poles and twigs between the camera and what it looks at.

    eye: the camera [3]; heading: radians, from +x; clear: metres ahead within which all of them are.
    """
    mesh = Mesh(Part.PASSERBY)
    ahead, across = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])

    def spot(near: float, far: float, spread: float) -> Span:
        distance = rng.uniform(near, far)
        place = eye[:2] + distance * ahead + rng.uniform(-spread, spread) * distance * across
        return float(place[0]), float(place[1])

    for _ in range(rng.poisson(rng.choice([0, 3, 10], p=[0.3, 0.45, 0.25]))):
        person(rng, mesh, spot(4, 0.8 * clear, 0.45))
    for _ in range(rng.poisson(0.7)):
        car(rng, mesh, spot(8, 0.8 * clear, 0.5), rng.uniform(0, 2 * np.pi))
    for _ in range(rng.poisson(0.5)):
        pole(rng, mesh, spot(4, 0.6 * clear, 0.4))
    if rng.random() < 0.12:
        greens = [mesh.plain(np.array((66, 88, 42)) * rng.uniform(0.5, 1.3)) for _ in range(3)]
        place = spot(8, max(0.4 * clear, 10), 0.5)
        tree(rng, mesh, place, rng.uniform(5, 9), greens, greens[0])
    return mesh


BODY = ((0.2, 0.75), (0.19, 1.0), (0.25, 1.35), (0.2, 1.45), (0.06, 1.5))  # radius (m) and height (sizes)
HEAD = ((0.05, 1.48), (0.1, 1.58), (0.11, 1.66), (0.07, 1.75), (0.01, 1.78))


def person(rng: Rng, mesh: Mesh, at: Span) -> None:
    """Somebody standing or walking by."""
    size = rng.uniform(0.9, 1.08)
    legs, coat = _cloth(rng, mesh), _cloth(rng, mesh)
    skin, turn = mesh.plain(np.array((205, 160, 130)) * rng.uniform(0.45, 1.1)), rng.uniform(0, 0.15)
    for side in (-1, 1):
        mesh.revolve((at[0] + side * 0.1, at[1] + side * turn), [(0.08, 0), (0.11, 0.85 * size)], 6, legs)
    for profile, surface in ((BODY, coat), (HEAD, skin)):
        mesh.revolve(at, [(radius, height * size) for radius, height in profile], 8, surface)


def _cloth(rng: Rng, mesh: Mesh) -> int:
    grey = rng.uniform(25, 190)
    return mesh.plain(np.clip(grey + rng.normal(0, 30, 3) * (rng.random() < 0.6), 10, 240))


def car(rng: Rng, mesh: Mesh, at: Span, turn: float) -> None:
    """A parked car, sometimes a van or bus."""
    own = Mesh(Part.PASSERBY)
    paint = own.plain(facades.pick(rng, facades.SIGNS) * rng.uniform(0.6, 1.0))
    dark, tyre = own.plain((40, 46, 54)), own.plain((24, 24, 24))
    tall = rng.random() < 0.2
    length, height = (rng.uniform(5.5, 10), rng.uniform(2.3, 3.2)) if tall else (rng.uniform(3.8, 4.8), rng.uniform(1.4, 1.7))
    own.box((-length / 2, length / 2), (-0.9, 0.9), (0.3, height if tall else 0.85), paint, paint)
    if tall:
        own.box((-length * 0.46, length * 0.46), (-0.92, 0.92), (height * 0.55, height * 0.85), dark, paint)
    else:
        own.box((-length * 0.3, length * 0.25), (-0.82, 0.82), (0.85, height), dark, paint)
    for x in (-0.32, 0.32):
        own.box((x * length - 0.32, x * length + 0.32), (-0.93, 0.93), (0.0, 0.62), tyre, tyre)
    mesh.extend(own, turn, [(*at, 0.0)])


def pole(rng: Rng, mesh: Mesh, at: Span) -> None:
    """A lamp post, flagpole or road sign."""
    iron = mesh.plain(np.array((70, 74, 76)) * rng.uniform(0.5, 1.6))
    height = rng.uniform(2.5, 7)
    mesh.revolve(at, [(0.06, 0), (0.05, height)], 6, iron)
    if height < 4:
        board = mesh.plain(facades.pick(rng, facades.SIGNS))
        mesh.box((at[0] - 0.35, at[0] + 0.35), (at[1] - 0.03, at[1] + 0.03), (height - 0.7, height), board, board)
    else:
        mesh.revolve(at, [(0.05, height), (0.28, height + 0.15), (0.02, height + 0.45)], 8, iron)
