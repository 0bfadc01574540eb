"""Landmarks: churches, halls, towers, gates, bridges, monuments. Metres; the front faces -y, the ground is z = 0."""

from collections.abc import Sequence
from itertools import pairwise
from math import dist

import numpy as np

from bcdh_lib.photos.scene import facades
from bcdh_lib.photos.scene.facades import Rng, Style
from bcdh_lib.photos.scene.mesh import Mesh, Part, Span, polar, ring, sides

MIDDLE = (0.0, 0.0)
# Profiles of solids of revolution: radius and height, as shares of the whole's size.
ONION = [(0.8, 0), (1.1, 0.2), (1.15, 0.35), (0.95, 0.55), (0.5, 0.72), (0.2, 0.85), (0.02, 1.1)]
ROBE = [(0.26, 0), (0.2, 0.3), (0.16, 0.5), (0.22, 0.72), (0.2, 0.8), (0.07, 0.84)]
HEAD = [(0.02, 0.83), (0.08, 0.87), (0.09, 0.92), (0.05, 0.98), (0.01, 1.0)]


class Mason(Mesh):
    """Builds the parts of one building in one style."""

    def __init__(self, rng: Rng, style: Style, part: Part = Part.LANDMARK) -> None:
        super().__init__(part)
        self.rng, self.style = rng, style

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def choose(self, *names: str) -> str:
        return str(self.rng.choice(names))

    def facade(self, width: float, height: float, **features: bool) -> int:
        return self.paint(facades.facade(self.rng, self.style, (width, height), **features))

    def bare(self, width: float, height: float) -> int:
        canvas = facades.bare_wall(self.rng, self.style, width, height)
        facades.cornices(canvas, self.style, [height], min(0.4, 0.2 * height))
        return self.paint(canvas.finish(self.style.wear))

    def roof(self, width: float, height: float) -> int:
        return self.paint(facades.roof(self.rng, self.style, width, height))

    def trim(self) -> int:
        return self.plain(self.style.trim * self.rng.uniform(0.85, 1.05))

    def block(self, x: Span, y: Span, z: Span, **front: bool) -> None:
        """Four facades under a flat roof with a cornice; `front` are the features of the one at -y."""
        for k, (left, right) in enumerate(sides(ring(x, y))):
            self.wall(left, right, z, self.facade(dist(left, right), z[1] - z[0], **({} if k else front)))
        self.floor(x, y, z[1], self.trim())
        trim = self.trim()
        self.box(_wider(x, 0.35), _wider(y, 0.35), (z[1] - 0.1, z[1] + 0.35), trim, trim)

    def gable_roof(self, x: Span, y: Span, z: float, rise: float, along: str = "y") -> None:
        """A saddle roof whose ridge runs along x or y, gables of the wall's masonry."""
        across, ends = (x, y) if along == "y" else (y, x[::-1])
        middle, start, end = (across[0] + across[1]) / 2, min(ends) - 0.4, max(ends) + 0.4
        low, order = (_wider(across, 0.4)[::-1], [0, 1, 2]) if along == "y" else (_wider(across, 0.4), [1, 0, 2])
        for eave, a, b in ((low[0], start, end), (low[1], end, start)):
            slope = self.roof(end - start, np.hypot(rise, middle - across[0]))
            points = np.array([(eave, a, z), (eave, b, z), (middle, b, z + rise), (middle, a, z + rise)])
            self.face(points[:, order], slope)
        gable = self.bare(across[1] - across[0], rise)
        for feet, at in ((across, ends[0]), (across[::-1], ends[1])):
            self.face(np.array([(feet[0], at, z), (feet[1], at, z), (middle, at, z + rise)])[:, order], gable)

    def hip_roof(self, x: Span, y: Span, z: float, rise: float, inset: float) -> None:
        """Four slopes up to a flat (a ridge or a point if the inset reaches the middle)."""
        top = _wider(x, -min(inset, (x[1] - x[0]) / 2)), _wider(y, -min(inset, (y[1] - y[0]) / 2))
        eaves = sides(ring(_wider(x, 0.4), _wider(y, 0.4)))
        for (left, right), (upper_left, upper_right) in zip(eaves, sides(ring(*top)), strict=True):
            slope = self.roof(dist(left, right), np.hypot(rise, inset))
            self.face([(*left, z), (*right, z), (*upper_right, z + rise), (*upper_left, z + rise)], slope)
        self.floor(*top, z + rise, self.trim())

    def drum(self, at: Span, radius: float, z: Span, sides: int = 20, caps: Sequence[str] = (), **features: bool) -> None:
        """A round (or many-sided) tower, windows all around, under one of the caps if there are any."""
        surface = self.facade(2 * np.pi * radius, z[1] - z[0], **features)
        self.revolve(at, [(radius, z[0]), (radius, z[1])], sides, surface, smooth=sides > 10)
        out, top = radius + 0.4, z[1] + 0.3
        self.revolve(at, [(radius, z[1] - 0.5), (out, z[1] - 0.1), (out, top), (0, top)], sides, self.trim())
        if caps:
            self.cap(at, radius, z[1], max(sides, 12), self.choose(*caps) if len(caps) > 1 else caps[0])

    def cap(self, at: Span, radius: float, z: float, sides: int, kind: str | None = None) -> None:
        """The top of a tower; `radius` is from the axis to a side's middle."""
        rng = self.rng
        kind = kind or self.choose("spire", "pyramid", "dome", "onion", "lantern", "crown")
        outer, turn = radius / np.cos(np.pi / sides), np.pi / sides
        rise = radius * {"spire": rng.uniform(3, 5.5), "pyramid": rng.uniform(1, 2), "dome": 1.0, "onion": 1.9}.get(kind, 1.2)
        surface = self.roof(2 * np.pi * radius, rise)
        if kind in ("spire", "pyramid"):
            self.revolve(at, [(outer + 0.3, z), (0.02, z + rise)], sides, surface, turn, smooth=False)
        elif kind == "dome":
            shell = [(outer * np.cos(t) + 0.01, z + rise * np.sin(t)) for t in np.linspace(0, np.pi / 2, 9)]
            self.revolve(at, shell, 20, surface)
            top = [(0.12 * radius, z + 0.98 * rise), (0.12 * radius, z + 1.2 * rise), (0.01, z + 1.5 * rise)]
            self.revolve(at, top, 8, self.trim())
        elif kind == "onion":
            self.revolve(at, _scaled(ONION, outer, z, rise), 16, surface)
        elif kind == "lantern":
            self.drum(at, 0.6 * radius, (z, z + rise), 8)
            self.cap(at, 0.6 * radius, z + rise, 8, self.choose("spire", "dome", "onion"))
        else:
            self.battlements((at[0] - radius, at[0] + radius), (at[1] - radius, at[1] + radius), z)

    def battlements(self, x: Span, y: Span, z: float) -> None:
        """Merlons around a flat roof."""
        for along, across, turn in ((x, y, 1), (y, x, -1)):
            merlon, size = Mesh(self.part), (0.6, 0.35)[::turn]
            stone = merlon.paint(facades.bare_wall(self.rng, self.style, 1.2, 1.3).finish(self.style.wear))
            merlon.box((-size[0], size[0]), (-size[1], size[1]), (0.0, 1.3), stone, stone)
            spots = [(run, fixed)[::turn] for fixed in across for run in np.arange(along[0] + 0.6, along[1], 2.2)]
            self.extend(merlon, places=[(*spot, z) for spot in spots])

    def tower(self, at: Span, half: float, z: Span, cap: str | None = None, **front: bool) -> None:
        """A square tower with its cap."""
        stages = int(self.rng.integers(1, 4)) if z[1] - z[0] > 15 else 1
        for k, edges in enumerate(pairwise(np.linspace(*z, stages + 1))):
            half_here = half * (1 - 0.08 * k)
            x, y = ((c - half_here, c + half_here) for c in at)
            self.block(x, y, edges, **(front if k == stages - 1 else {}))
        self.cap(at, half_here, z[1], 4 if self.chance(0.6) else 8, cap)

    def column(self, at: Span, radius: float, z: Span) -> None:
        """A column with base and capital, its shaft slightly swelling."""
        shaft = self.bare(2 * np.pi * radius, z[1] - z[0])
        low, high = z[0] + 0.04 * (z[1] - z[0]), z[1] - 0.07 * (z[1] - z[0])
        profile = [(1.35, z[0]), (1.35, low), (1.0, low), (1.02, 0.6 * low + 0.4 * high), (0.86, high), (1.35, z[1])]
        self.revolve(at, [(radius * r, h) for r, h in profile], 10, shaft)

    def colonnade(self, x: Span, y: float, z: Span, count: int, radius: float) -> None:
        for spot in np.linspace(x[0] + radius, x[1] - radius, count):
            self.column((spot, y), radius, z)

    def pediment(self, x: Span, y: Span, z: float, rise: float) -> None:
        """A beam and a gable full of sculpture, as over a temple's front."""
        width, face, low = x[1] - x[0], y[0] - 0.06, z + 1.6
        beam = self.bare(width, 1.6)
        self.box(x, y, (z, low), beam, beam)
        self.gable_roof(x, y, low, rise)
        canvas = facades.bare_wall(self.rng, self.style, width, rise)
        facades.relief_panel(canvas, self.style, 0, 0, width, rise)
        points = [(x[0], face, low), (x[1], face, low), ((x[0] + x[1]) / 2, face, low + rise)]
        self.face(points, self.paint(canvas.finish(0.5)))

    def arch(self, x: Span, y: Span, z: Span, opening: Span, spring: float) -> None:
        """A wall with an open round arch; `opening` is its span along x, `spring` its spring line."""
        centre, radius = (opening[0] + opening[1]) / 2, (opening[1] - opening[0]) / 2
        curve = [(centre + radius * np.cos(t), min(spring + radius * np.sin(t), z[1] - 0.3)) for t in np.linspace(np.pi, 0, 13)]
        outline = [(opening[0], z[0]), *curve, (opening[1], z[0])]
        for near in (True, False):
            self._pierced(x, y[0] if near else y[1], z, outline, near)
        soffit = self.bare(y[1] - y[0], 2 * radius + 2 * spring)
        for (x0, z0), (x1, z1) in pairwise(outline):
            self.face([(x0, y[0], z0), (x0, y[1], z0), (x1, y[1], z1), (x1, y[0], z1)], soffit)
        side = self.bare(y[1] - y[0], z[1] - z[0])
        self.wall((x[1], y[0]), (x[1], y[1]), z, side)
        self.wall((x[0], y[1]), (x[0], y[0]), z, side)
        self.floor(x, y, z[1], self.trim())

    def _pierced(self, x: Span, y: float, z: Span, outline: list[Span], near: bool) -> None:
        """The front (near) or back of a wall around an outline."""
        width, height = x[1] - x[0], z[1] - z[0]
        canvas = facades.bare_wall(self.rng, self.style, width, height)
        centre = float(np.mean([px - x[0] for px, _ in outline]))
        frame = [((px - x[0] - centre) * 1.18 + centre, (pz - z[0]) * 1.06) for px, pz in outline]
        canvas.polygon(frame, self.style.trim, 150)
        facades.cornices(canvas, self.style, [height, height * 0.86], 0.5)
        for _ in range(self.rng.poisson(5)):
            spot = self.rng.uniform(0, max(width - 2, 0.1)), self.rng.uniform(0.1, 0.9) * height
            facades.relief_panel(canvas, self.style, *spot, self.rng.uniform(0.8, 2.5), self.rng.uniform(0.6, 2))
        if self.chance(0.5):
            facades.sign(canvas, width * 0.3, height * 0.88, width * 0.4, height * 0.08)
        surface = self.paint(canvas.finish(self.style.wear))
        order = np.array([[0, 1, 2], [0, 2, 3]] if near else [[0, 2, 1], [0, 3, 2]])
        strips = [((x[0], z[0]), (outline[0][0], z[0])), ((outline[-1][0], z[0]), (x[1], z[0])), *pairwise(outline[1:-1])]
        for (x0, z0), (x1, z1) in strips:  # between a piece of the outline and the top edge
            points = np.array([(x0, y, z0), (x1, y, z1), (x1, y, z[1]), (x0, y, z[1])])
            u = (points[:, 0] - x[0]) / width
            uv = np.stack([u if near else 1 - u, (points[:, 2] - z[0]) / height], axis=1)
            self.add(points[order], uv[order], surface)

    def figure(self, at: Span, z: float, size: float) -> None:
        """A statue: robe, shoulders, head, and an arm that points somewhere."""
        rng = self.rng
        bronze = self.plain((np.array((96, 110, 98)) if self.chance(0.5) else self.style.trim) * rng.uniform(0.7, 1.0))
        self.revolve(at, _scaled(ROBE, size, z, size), 10, bronze)
        self.revolve(at, _scaled(HEAD, size, z, size), 8, bronze)
        hand, lift = at[0] + rng.uniform(0.2, 0.5) * size * rng.choice([-1, 1]), rng.uniform(-0.1, 0.35) * size
        low, high = z + 0.68 * size, z + 0.78 * size
        for y in (at[1] - 0.06 * size, at[1] + 0.06 * size):
            self.face([(at[0], y, low), (hand, y, low + lift), (hand, y, high + lift), (at[0], y, high)], bronze)


def _wider(span: Span, by: float) -> Span:
    """The span with `by` metres added at both ends."""
    return span[0] - by, span[1] + by


def _scaled(profile: Sequence[Span], width: float, z: float, height: float) -> list[Span]:
    return [(width * radius, z + height * up) for radius, up in profile]


def church(mason: Mason, rng: Rng) -> None:
    """Nave, west towers (none, one or two), a choir with an apse."""
    half, depth, wall = rng.uniform(5, 10), rng.uniform(18, 38), rng.uniform(9, 18)
    mason.block((-half, half), (0.0, depth), (0.0, wall), entrance=True, wheel=mason.chance(0.7))
    mason.gable_roof((-half, half), (0.0, depth), wall, rng.uniform(0.8, 1.5) * half)
    aisle, low = rng.uniform(3, 5), wall * rng.uniform(0.45, 0.65)
    for x in ((-half - aisle, -half), (half, half + aisle)):
        if mason.chance(0.75):
            mason.block(x, (2.0, depth), (0.0, low))
    towers = int(rng.integers(0, 3))
    top, size = wall * rng.uniform(1.1, 1.9), rng.uniform(2.5, 4.2)
    cap = mason.choose("spire", "pyramid", "onion", "dome", "crown", "lantern")
    for at in {0: [], 1: [rng.choice([-half, half, 0])], 2: [-half, half]}[towers]:
        y = -size if at == 0 else size - 0.5
        mason.tower((float(at), y), size, (0.0, top), cap, dial=mason.chance(0.6), entrance=bool(at == 0))
    if towers == 0 or mason.chance(0.4):
        mason.drum((0.0, depth * 0.65), half * 0.6, (wall * 0.9, wall * 1.5), 12, ("dome", "spire", "onion"))
    mason.drum((0.0, depth), half * 0.8, (0.0, wall * 0.8), 16, ("pyramid",))


def hall(mason: Mason, rng: Rng) -> None:
    """A town hall: a long front, a middle risalit, a clock tower somewhere."""
    half, depth, wall = rng.uniform(12, 24), rng.uniform(10, 18), rng.uniform(10, 20)
    mason.block((-half, half), (0.0, depth), (0.0, wall), entrance=True, shop=mason.chance(0.4))
    if mason.chance(0.7):
        mason.hip_roof((-half, half), (0.0, depth), wall, rng.uniform(3, 7), depth * rng.uniform(0.3, 0.5))
    else:
        mason.battlements((-half, half), (0.0, depth), wall)
    if mason.chance(0.75):
        wide, high = half * rng.uniform(0.2, 0.4), wall * rng.uniform(1.0, 1.3)
        mason.block((-wide, wide), (-2.5, depth * 0.5), (0.0, high), entrance=True, dial=True)
        mason.gable_roof((-wide, wide), (-2.5, depth * 0.5), high, wide * rng.uniform(0.5, 1.2))
    for _ in range(int(rng.integers(1, 3))):
        x, size = rng.choice([-0.9, -0.5, 0, 0.5, 0.9]) * half, rng.uniform(2.5, 4.5)
        mason.tower((x, depth * rng.uniform(0.3, 0.6)), size, (wall * 0.9, wall * rng.uniform(1.6, 2.6)), dial=True)


def palace(mason: Mason, rng: Rng) -> None:
    """Wings of unequal height around a temple front."""
    half, wall = rng.uniform(7, 12), rng.uniform(10, 17)
    mason.block((-half, half), (0.0, 12.0), (0.0, wall), entrance=True)
    front, radius = rng.uniform(4, 6), rng.uniform(0.5, 0.9)
    mason.colonnade((-half * 0.8, half * 0.8), -front, (0.6, wall - 2), int(rng.choice([4, 6, 8])), radius)
    mason.pediment((-half * 0.85, half * 0.85), (-front - 1, 0.0), wall - 2, rng.uniform(2.5, 4.5))
    steps = mason.bare(2 * half, 0.6)
    mason.box((-half, half), (-front - 3, 0.0), (0.0, 0.6), steps, steps)
    for side in (-1, 1):
        length, high = rng.uniform(8, 20), wall * rng.uniform(0.55, 0.95)
        x = (half, half + length) if side > 0 else (-half - length, -half)
        mason.block(x, (1.5, 11.0), (0.0, high), shop=mason.chance(0.2))
        if mason.chance(0.5):
            mason.hip_roof(x, (1.5, 11.0), high, rng.uniform(2, 4), 4)
        if mason.chance(0.4):
            mason.tower((side * (half + length), 5.0), 3.2, (0.0, high * rng.uniform(1.2, 1.7)))
    if mason.chance(0.6):
        mason.drum((0.0, 6.0), half * 0.5, (wall, wall + 5), 18, ("dome",))


def gate(mason: Mason, rng: Rng) -> None:
    """A city gate or triumphal arch, between towers or under an attic with figures."""
    half, deep, high = rng.uniform(5, 10), rng.uniform(3, 6), rng.uniform(11, 18)
    span = half * rng.uniform(0.35, 0.55)
    mason.arch((-half, half), (0.0, deep), (0.0, high), (-span, span), high * rng.uniform(0.35, 0.5))
    if mason.chance(0.5):
        size, top = rng.uniform(2.5, 4), high * rng.uniform(0.9, 1.7)
        cap = mason.choose("crown", "pyramid", "spire", "dome")
        for side in (-1, 1):
            if mason.chance(0.5):
                caps = ("pyramid" if cap == "crown" else cap,)
                mason.drum((side * (half + size * 0.6), deep / 2), size, (0.0, top), caps=caps)
            else:
                mason.tower((side * (half + size * 0.8), deep / 2), size, (0.0, top), cap)
    else:
        attic = rng.uniform(2.5, 5)
        mason.block((-half * 0.95, half * 0.95), (0.2, deep - 0.2), (high, high + attic))
        for spot in np.linspace(-half * 0.8, half * 0.8, int(rng.integers(1, 6))):
            mason.figure((float(spot), deep / 2), high + attic, rng.uniform(2.5, 4))
        mason.colonnade((-half, half), -0.9, (0.0, high * 0.9), 4, rng.uniform(0.4, 0.6))
    if mason.chance(0.5):
        mason.block((-half, half), (0.0, deep), (high, high + rng.uniform(4, 8)), dial=True)


def campanile(mason: Mason, rng: Rng) -> None:
    """A free-standing tower on a base, with galleries."""
    half = rng.uniform(4, 7)
    high = half * rng.uniform(3.5, 6)
    if mason.chance(0.7):
        mason.tower(MIDDLE, half, (0.0, high), dial=mason.chance(0.5), entrance=True)
    else:
        mason.block((-half, half), (-half, half), (0.0, high * 0.65), entrance=True, dial=True)
        mason.drum(MIDDLE, half * rng.uniform(0.7, 0.95), (high * 0.65, high), int(rng.choice([8, 16])))
        mason.cap(MIDDLE, half * 0.75, high, 16)
    base = half * rng.uniform(1.3, 2.2)
    mason.block((-base, base), (-base, base), (0.0, rng.uniform(4, 9)), entrance=True)
    for side in (-1, 1):
        if mason.chance(0.5):
            far = base + rng.uniform(6, 16)
            mason.block((base, far) if side > 0 else (-far, -base), (-base * 0.7, base), (0.0, rng.uniform(5, 11)))


def castle(mason: Mason, rng: Rng) -> None:
    """A keep, a curtain wall and round towers."""
    half, wall, span = rng.uniform(12, 20), rng.uniform(6, 10), rng.uniform(1.5, 2.5)
    mason.arch((-half, half), (0.0, 2.5), (0.0, wall), (-span, span), 2.5)
    mason.battlements((-half, half), (0.0, 2.5), wall)
    for spot in (-half, half, *rng.uniform(-half, half, rng.integers(0, 2))):
        if abs(spot) < span + 4:
            spot = np.sign(spot) * (span + 4)
        radius, top = rng.uniform(2.5, 4), wall * rng.uniform(1.1, 1.8)
        mason.drum((float(spot), 1.2), radius, (0.0, top))
        if mason.chance(0.7):
            mason.cap((float(spot), 1.2), radius, top, 20, "pyramid" if mason.chance(0.5) else "spire")
    x, size, top = rng.uniform(-0.5, 0.5) * half, rng.uniform(4, 8), wall * rng.uniform(1.8, 3.0)
    mason.tower((x, 8 + size), size, (0.0, top), mason.choose("crown", "pyramid"))
    mason.block((-half * 0.8, half * 0.8), (9.0, 18.0), (0.0, wall * rng.uniform(1.1, 1.5)))
    mason.hip_roof((-half * 0.8, half * 0.8), (9.0, 18.0), wall * 1.4, 4, 4.5)


def rotunda(mason: Mason, rng: Rng) -> None:
    """A round temple or library: drum, ring of columns, dome."""
    radius, high, sides = rng.uniform(6, 11), rng.uniform(7, 13), int(rng.choice([8, 12, 24]))
    mason.drum(MIDDLE, radius, (0.0, high), sides, entrance=True)
    if mason.chance(0.6):
        for turn in np.arange(0, 2 * np.pi, 2 * np.pi / rng.integers(10, 20)):
            mason.column(polar(MIDDLE, radius * 1.2, turn), 0.5, (0.0, high * 0.95))
        profile = [(radius, high - 0.6), (radius * 1.3, high - 0.6), (radius * 1.3, high + 0.8), (radius, high + 0.8)]
        mason.revolve(MIDDLE, profile, 32, mason.bare(2 * np.pi * radius, 1.5))
    else:
        mason.block((-radius * 0.5, radius * 0.5), (-radius * 1.3, 0.0), (0.0, high * 0.8), entrance=True)
        mason.gable_roof((-radius * 0.5, radius * 0.5), (-radius * 1.3, 0.0), high * 0.8, radius * 0.3)
    top = high + rng.uniform(2, 6)
    mason.drum(MIDDLE, radius * 0.85, (high, top), sides, ("dome", "dome", "pyramid", "onion"))


def bridge(mason: Mason, rng: Rng) -> None:
    """Arches in a row, with a tower or a chapel on them."""
    count, span, high = int(rng.integers(3, 6)), rng.uniform(7, 11), rng.uniform(6, 10)
    deep, half = rng.uniform(4, 6), count * span / 2
    for k in range(count):
        x0 = -half + k * span
        rise = high * rng.uniform(0.25, 0.4)
        mason.arch((x0, x0 + span), (0.0, deep), (0.0, high), (x0 + 0.16 * span, x0 + 0.84 * span), rise)
    parapet = mason.bare(2 * half, 1.1)
    for y in ((-0.3, 0.1), (deep - 0.1, deep + 0.3)):
        mason.box((-half, half), y, (high, high + 1.1), parapet, parapet)
    for spot in rng.permutation(np.linspace(-half, half, count + 1))[: rng.integers(1, 3)]:
        size = rng.uniform(2.2, 3.4)
        mason.tower((float(spot), deep / 2), size, (0.0, high + rng.uniform(8, 16)), dial=mason.chance(0.4))
    for spot in np.linspace(-half * 0.9, half * 0.9, int(rng.integers(0, 6))):
        mason.figure((float(spot), 0.0), high + 1.1, 2.2)


def monument(mason: Mason, rng: Rng) -> None:
    """A column, obelisk or canopy with figures, on steps."""
    base, high = rng.uniform(2.5, 4), rng.uniform(3, 6)
    steps = mason.bare(4 * base, 0.5)
    for k in range(3):
        size = base * (2 - 0.3 * k)
        mason.box((-size, size), (-size, size), (0.45 * k, 0.45 * (k + 1)), steps, steps)
    mason.block((-base, base), (-base, base), (1.3, high))
    kind = mason.choose("column", "obelisk", "canopy")
    if kind == "column":
        top = high + rng.uniform(9, 18)
        mason.column(MIDDLE, base * 0.42, (high, top))
        mason.figure(MIDDLE, top, rng.uniform(3, 5))
    elif kind == "obelisk":
        top = high + rng.uniform(10, 20)
        profile = [(base * 0.8, high), (base * 0.5, top), (0.02, top + base)]
        mason.revolve(MIDDLE, profile, 4, mason.facade(4 * base, top - high), np.pi / 4, smooth=False)
    else:
        top = high + rng.uniform(6, 10)
        for x, y in ((-0.8, -0.8), (-0.8, 0.8), (0.8, -0.8), (0.8, 0.8)):
            mason.column((x * base, y * base), 0.35, (high, top))
        mason.figure(MIDDLE, high, (top - high) * 0.8)
        mason.pediment((-base, base), (-base, base), top, base * 0.6)
        mason.cap(MIDDLE, base * 0.5, top + 2, 8, mason.choose("spire", "onion", "dome"))
    for turn in np.arange(4) * np.pi / 2 + np.pi / 4:
        if mason.chance(0.8):
            mason.figure(polar(MIDDLE, base * 1.7, turn), 0.9, rng.uniform(2, 3.4))


def modern(mason: Mason, rng: Rng) -> None:
    """Stacked blocks of glass and panels: museum, station, tower block."""
    half, depth, z = rng.uniform(8, 15), rng.uniform(8, 14), 0.0
    for k in range(int(rng.integers(2, 5))):
        high, shift = rng.uniform(5, 13), rng.uniform(-0.35, 0.35) * half
        mason.style = Style(rng, mason.style.sharpness)
        mason.block((shift - half, shift + half), (-rng.uniform(0, 2), depth), (z, z + high), entrance=k == 0, shop=k == 0)
        z, half, depth = z + high + 0.1, half * rng.uniform(0.55, 1.0), depth * rng.uniform(0.7, 1.0)
    if mason.chance(0.5):
        mason.drum((0.0, depth / 2), half * 0.5, (z, z + rng.uniform(3, 9)), 16)


KINDS = (church, hall, palace, gate, campanile, castle, rotunda, bridge, monument, modern)


def build_landmark(rng: Rng, sharpness: float = 1.0) -> tuple[Mesh, float, float]:
    """The mesh, height and width (m) of a landmark drawn at random; another state of `rng` gives another one."""
    build = KINDS[rng.integers(len(KINDS))]
    mason, centred = Mason(rng, Style(rng, sharpness)), Mesh(Part.LANDMARK)
    build(mason, rng)
    corners = np.concatenate([each for each, *_ in mason.faces]).reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    centred.extend(mason, places=[(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, 0.0)])
    return centred, float(high[2]), float(high[0] - low[0])
