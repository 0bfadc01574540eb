"""Painted surfaces: masonry, windows, doors, roofs, ornament and wear. Lengths in metres."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from bcdh_lib.photos.scene.mesh import CHANNELS, Ink, Span, Surface, polar, ring

Rng = np.random.Generator
Colour = NDArray[np.int64]  # red, green, blue
Floats = NDArray[np.float32]


def _palette(colours: str) -> Colour:
    """Colours [n, 3], written as hexadecimal rrggbb."""
    return np.array([list(bytes.fromhex(colour)) for colour in colours.split()])


# Every landmark draws from these, so that a colour alone identifies none of them.
WALLS = _palette("9c5c46 c4a87e b0aaa0 ded4c0 ceb070 8a8074 d6b8a4 bc8c68")
TRIMS = _palette("e8e2d4 d0c4ac 928a7e 784e3e 5a5856")
ROOFS = _palette("964e38 5c5e66 7a604e 688c7a 484a50")
WOODS = _palette("523a2a 344c42 782c28 3c4660 c4beb2")
SIGNS = _palette("ba2c28 225496 ecc43c 28784c ecece8 282628 ce6e28")
PAVINGS = _palette("969086 787674 b2a084 8c7060")
PATTERNS = ("brick", "ashlar", "rubble", "plaster", "banded")
OPENINGS = ("flat", "round", "pointed", "segment")
TEXTURE_SIDE = 640  # texels of a surface's longer side at most
DENSITY, ROOF_DENSITY = 24.0, 16.0  # texels a metre at most
GROUND_SIDE = 720  # texels
COARSE = 9.0  # texels a metre; below it small parts of windows are omitted
FIELD = 1280  # texels of a side of the noise that all surfaces draw from
SLOPE = 50.0  # steps of a texel, from 128, that encode a slope of 1
RELIEF = 0.6  # metres that a height of 127 encodes


class Style:
    """The style of one building, drawn at random: what its walls, windows and roofs have in common."""

    def __init__(self, rng: Rng, sharpness: float = 1.0) -> None:
        self.wall, self.trim, self.roof, self.wood = (_near(rng, palette) for palette in (WALLS, TRIMS, ROOFS, WOODS))
        self.pattern, self.opening = str(rng.choice(PATTERNS)), str(rng.choice(OPENINGS))
        self.storey, self.bay = rng.uniform(3.2, 5.6), rng.uniform(2.2, 5.0)  # m; a bay is what lies between window axes
        self.window = rng.uniform(0.3, 0.58), rng.uniform(0.42, 0.72)  # share of bay and of storey
        self.panes = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        self.surround = float(rng.choice([0, 0.12, 0.22, 0.32]))  # m, width of the window's frame of stone
        self.shutters, self.gables, self.pilasters = (rng.random() < share for share in (0.25, 0.25, 0.3))  # gables: of windows
        self.course = rng.uniform(0.25, 0.7)  # m, height of a course of stones
        self.wear = rng.uniform(0.25, 1.0)  # 0 new .. 1
        self.sharpness = sharpness  # of its painted surfaces; 1 suits photos of 320 px


def pick(rng: Rng, palette: Colour) -> Colour:
    """One colour of a palette."""
    return palette[rng.integers(len(palette))]


def _near(rng: Rng, palette: Colour, spread: float = 10.0) -> Colour:
    colour = pick(rng, palette) + rng.normal(0, spread, 3) * 0.5 + rng.normal(0, spread)
    return np.clip(colour, 12, 245).astype(np.int64)


@lru_cache(maxsize=16)
def _field(longest: int) -> Floats:
    """A large field of noise, mean 0 and deviation about 1: waves of 2 .. `longest` texels, or none for 0."""
    rng, field = np.random.default_rng(longest), np.zeros((FIELD, FIELD), np.float32)
    if not longest:
        return rng.standard_normal((FIELD, FIELD), np.float32)
    for octave in range(int(np.log2(longest))):
        grid = rng.standard_normal((FIELD * 2**octave // longest + 2,) * 2).astype(np.float32)
        field += np.asarray(Image.fromarray(grid).resize((FIELD, FIELD), Image.Resampling.BICUBIC)) * np.float32(0.6**octave)
    return field / field.std()


def noise(rng: Rng, shape: tuple[int, int], longest: float) -> Floats:
    """Random field [height, width] of mean 0 and deviation about 1; `longest` is its largest wave in texels, 0 for grain.

    It is a random window, turned and mirrored, of a field that each process makes once: shape <= FIELD.
    """
    field = _field(2 ** int(np.clip(round(np.log2(longest)), 1, 9)) if longest else 0)
    top, left = (int(rng.integers(FIELD - side + 1)) for side in shape)
    mirror_y, mirror_x, turned = rng.choice([-1, 1]), rng.choice([-1, 1]), rng.random() < 0.5
    return (field.T if turned else field)[top : top + shape[0], left : left + shape[1]][::mirror_y, ::mirror_x]


class Canvas:
    """A surface while it is painted: colour, relief (128 is the wall's plane) and glass. Metres, origin at lower left."""

    def __init__(self, rng: Rng, width: float, height: float, colour: Floats, relief: Floats, density: float) -> None:
        self.rng, self.width, self.height, self.density = rng, width, height, density
        layers = np.zeros((*relief.shape, 4), np.uint8)  # red, green, blue, glass
        layers[..., :3] = np.clip(colour, 0, 255)
        self.colour, self.relief = Image.fromarray(layers), Image.fromarray(np.clip(relief, 0, 255).astype(np.uint8))
        self.pens = ImageDraw.Draw(self.colour), ImageDraw.Draw(self.relief)
        self.coarse = density < COARSE

    def polygon(self, points: Sequence[Span], colour: Ink, relief: int = 128, glass: int = 0) -> None:
        """Fill a polygon; relief is its height over 128 in steps of RELIEF / 127 metres."""
        spots = [(x * self.density, (self.height - y) * self.density) for x, y in points]
        red, green, blue = colour
        self.pens[0].polygon(spots, fill=(int(red), int(green), int(blue), glass))
        self.pens[1].polygon(spots, fill=relief)

    def rectangle(self, x: float, y: float, width: float, height: float, *ink: Any) -> None:
        """Fill a rectangle; `ink` as for `polygon`."""
        self.polygon(ring((x, x + width), (y, y + height)), *ink)

    def disc(self, x: float, y: float, radius: float, *ink: Any) -> None:
        self.polygon(opening_outline("circle", x - radius, y - radius, 2 * radius, 2 * radius), *ink)

    def finish(self, wear: float) -> Surface:
        """Dirt, streaks, hollows darkened, relief turned to slopes."""
        rng, (width, height) = self.rng, self.colour.size
        relief = np.asarray(self.relief, np.float32)
        hollow = np.asarray(self.relief.filter(ImageFilter.GaussianBlur(float(0.35 * self.density))), np.float32) - relief
        shade = 1 - np.clip(hollow, -10, 90) / 260
        stains = noise(rng, (height, width), 5 * self.density)
        streaks = np.asarray(Image.fromarray(noise(rng, (max(height // 24, 2), width), 8)).resize((width, height)))
        shade *= np.exp(wear * (0.10 * stains + 0.08 * np.minimum(streaks, 0.5)) + 0.03 * noise(rng, (height, width), 0))
        texels, layers = np.empty((height, width, CHANNELS), np.uint8), np.asarray(self.colour)
        texels[..., :3] = np.minimum(layers[..., :3] * shade[..., None], 255)
        rise = relief * (RELIEF / 127 * self.density)
        texels[..., 3] = np.clip(128 + SLOPE * np.gradient(rise, axis=1), 0, 255)
        texels[..., 4] = np.clip(128 - SLOPE * np.gradient(rise, axis=0), 0, 255)
        texels[..., 5] = layers[..., 3]
        return Surface(texels, self.density)


def bare_wall(rng: Rng, style: Style, width: float, height: float) -> Canvas:
    """A wall of the style's masonry, every stone of its own shade."""
    density, shape = _resolution(style.sharpness, DENSITY, TEXTURE_SIDE, width, height)
    y, x = (np.mgrid[: shape[0], : shape[1]] / density).astype(np.float32)
    tone, relief = np.zeros(shape, np.float32), np.full(shape, 128, np.float32)
    if style.pattern != "plaster":
        tone, joint = _stones(rng, style, x, y)
        relief -= 14 * joint
        tone -= 0.16 * joint
    if style.pattern in ("plaster", "banded"):
        patches = noise(rng, shape, 3 * density)
        tone += 0.08 * np.tanh(4 * patches) + (0.10 * (np.floor(y / (3 * style.course)) % 2) if style.pattern == "banded" else 0)
        tone -= 0.35 * (noise(rng, shape, 2.5 * density) > 2.0)
    tint = rng.normal(0, 0.02, 3) * tone[..., None]
    colour = style.wall.astype(np.float32) * (1 + tone[..., None] + tint.astype(np.float32))
    return Canvas(rng, width, height, colour, relief, density)


def _resolution(sharpness: float, most: float, side: float, width: float, height: float) -> tuple[float, tuple[int, int]]:
    """Texels a metre, at most `most`, and texels of height and width, about `side` at most."""
    density = sharpness * min(most, side / max(width, height))
    return density, (max(int(height * density), 2), max(int(width * density), 2))


def _stones(rng: Rng, style: Style, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Shade of each stone, and 1 at the joints."""
    if style.pattern == "rubble":
        x, y = (along + 0.12 * noise(rng, x.shape, 14) for along in (x, y))
    course = style.course * (0.6 if style.pattern == "brick" else 1)
    row = np.floor(y / course).astype(int)
    row -= row.min()
    rows = row.max() + 1
    length = course * rng.uniform(1.6, 3.0, rows)[row]
    along = x / length + rng.random(rows)[row]
    column = np.floor(along).astype(int)
    shades = rng.normal(0, 1, 9973).astype(np.float32)
    stone = shades[(row * 131 + column * 7) % 9973] * {"brick": 0.14, "rubble": 0.2}.get(style.pattern, 0.11)
    gap = 0.035 if style.pattern == "brick" else 0.045
    joint = (y / course % 1 < gap / course) | (along % 1 < gap / length)
    return stone.astype(np.float32), joint.astype(np.float32)


def opening_outline(kind: str, x: float, y: float, width: float, height: float) -> list[Span]:
    """Outline of a window or door; x, y is its lower left corner."""
    if kind == "circle":
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        return [(x + width / 2 * (1 + np.cos(t)), y + height / 2 * (1 + np.sin(t))) for t in turn]
    rise = min({"flat": 0.0, "segment": 0.18, "round": 0.5, "pointed": 0.8}[kind] * width, 0.7 * height)
    if not rise:
        return ring((x, x + width), (y, y + height))
    spring, arc = y + height - rise, np.linspace(0, np.pi, 11)
    lift = [1 - abs(np.cos(t)) ** 1.6 if kind == "pointed" else np.sin(t) for t in arc]
    top = [(x + width / 2 * (1 + np.cos(t)), spring + rise * up) for t, up in zip(arc, lift, strict=True)]
    return [(x, y), (x + width, y), *top]


def window(canvas: Canvas, style: Style, x: float, y: float, width: float, height: float, kind: str) -> None:
    """One window with its surround, panes, and a blind or curtains; x, y is its lower left corner."""
    rng, edge = canvas.rng, style.surround
    if edge:
        canvas.polygon(opening_outline(kind, x - edge, y - edge, width + 2 * edge, height + 2 * edge), style.trim, 146)
    if style.shutters and kind in ("flat", "segment"):
        for side in (x - 0.5 * width - edge, x + width + edge):
            if rng.random() < 0.85:
                canvas.rectangle(side, y, 0.5 * width, height, style.wood, 138)
    dark = rng.uniform(0.5, 1.5)
    canvas.polygon(opening_outline(kind, x, y, width, height), [34 * dark, 40 * dark, 48 * dark], 84, 255)
    state = rng.random()
    if state < 0.3:  # a blind, partly down
        drop = rng.uniform(0.2, 0.8) * height
        canvas.rectangle(x, y + height * 0.95 - drop, width, drop * 0.9, rng.uniform(120, 230) * np.array([1, 0.97, 0.9]), 92, 60)
    elif state < 0.45:  # curtains
        canvas.rectangle(x, y, width * rng.uniform(0.15, 0.4), height * 0.8, rng.uniform(90, 220, 3), 88, 90)
    if canvas.coarse:
        return
    bar = max(0.07, 1.2 / canvas.density)
    for k in range(1, style.panes[0]):
        canvas.rectangle(x + k * width / style.panes[0] - bar / 2, y, bar, height * 0.9, style.wood, 100)
    for k in range(1, style.panes[1]):
        canvas.rectangle(x, y + k * height / style.panes[1] - bar / 2, width, bar, style.wood, 100)
    canvas.rectangle(x - 0.15, y - 0.2, width + 0.3, 0.2, style.trim, 160)
    if style.gables:
        top = y + height
        canvas.polygon([(x - 0.3, top + 0.2), (x + width + 0.3, top + 0.2), (x + width / 2, top + 0.75)], style.trim, 160)
    if rng.random() < 0.06:  # a flower box, a flag, an air conditioner
        canvas.rectangle(x, y - 0.15, width * rng.uniform(0.4, 1), rng.uniform(0.3, 0.8), pick(rng, SIGNS), 170)


def door(canvas: Canvas, style: Style, x: float, width: float, height: float) -> None:
    """A portal at the foot of the wall, its jambs stepped inwards."""
    for step in range(3):
        edge, shade = 0.3 * (3 - step), style.trim * (1 - 0.16 * step)
        canvas.polygon(opening_outline(style.opening, x - edge, 0, width + 2 * edge, height + edge), shade, 160 - 22 * step)
    canvas.polygon(opening_outline(style.opening, x, 0, width, height), style.wood, 70)
    for k in range(1, 4):
        canvas.rectangle(x + k * width / 4, 0, 0.08, height * 0.7, style.wood * 0.6, 60)


def rose(canvas: Canvas, style: Style, x: float, y: float, radius: float) -> None:
    """A rose window around x, y."""
    petals = int(canvas.rng.integers(5, 13))
    canvas.disc(x, y, 1.2 * radius, style.trim, 156)
    canvas.disc(x, y, radius, style.trim * 0.8, 120)
    for at, share in ((0.68, 0.24), (0.3, 0.14)):
        for turn in np.arange(petals) * 2 * np.pi / petals:
            canvas.disc(*polar((x, y), at * radius, turn), share * radius, canvas.rng.uniform(20, 110, 3), 76, 200)


def clock(canvas: Canvas, style: Style, x: float, y: float, radius: float) -> None:
    """A clock face around x, y, its hands at a random time."""
    dial, half = SIGNS[canvas.rng.choice([4, 5, 1, 2])], 0.06 * radius
    ink = (30, 28, 30) if dial.sum() > 360 else (230, 220, 180)
    canvas.disc(x, y, 1.15 * radius, style.trim, 150)
    canvas.disc(x, y, radius, dial, 140)
    for turn in np.arange(12) * np.pi / 6:
        across, up = polar((x, y), 0.85 * radius, turn)
        canvas.rectangle(across - half, up - half, 2 * half, 2 * half, ink)
    for length in (0.55, 0.8):
        turn = canvas.rng.uniform(0, 2 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        canvas.polygon([(x - half * s, y + half * c), (x + half * s, y - half * c), polar((x, y), length * radius, turn)], ink)


def relief_panel(canvas: Canvas, style: Style, x: float, y: float, width: float, height: float) -> None:
    """Sculpture: a framed field of random shapes."""
    rng = canvas.rng
    canvas.rectangle(x, y, width, height, style.trim * 0.85, 118)
    for _ in range(int(min(10 + 6 * width * height, 40))):
        size = rng.uniform(0.08, 0.35) * min(width, height)
        spot = x + rng.uniform(0.1, 0.9) * width, y + rng.uniform(0.1, 0.9) * height
        turn, n = rng.uniform(0, 6.3), int(rng.integers(3, 8))
        points = [polar(spot, size, turn + angle) for angle in np.sort(rng.uniform(0, 2 * np.pi, n))]
        canvas.polygon(points, style.trim * rng.uniform(0.55, 1.12), int(rng.integers(110, 175)))


def sign(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A board, banner or poster with marks of no alphabet."""
    rng = canvas.rng
    ground, ink = SIGNS[rng.permutation(len(SIGNS))[:2]]
    canvas.rectangle(x, y, width, height, ground, 150)
    lines = int(np.clip(round(height / 0.6), 1, 5))
    for line in range(lines):
        pitch, spot = height / lines, x + 0.08 * width
        while spot < x + 0.85 * width:
            step = rng.uniform(0.25, 0.7) * min(pitch, 0.8)
            top = rng.uniform(0.4, 0.7) * pitch
            canvas.rectangle(spot, y + (line + 0.2) * pitch, step * rng.uniform(0.3, 0.9), top, ink, 152)
            spot += step + 0.06
    if rng.random() < 0.4:
        canvas.rectangle(x + width * 0.3, y + height * 0.3, width * 0.4, height * 0.4, pick(rng, SIGNS), 152)


def cornices(canvas: Canvas, style: Style, levels: Sequence[float], thickness: float = 0.4) -> None:
    """String courses along the wall at the given heights."""
    for level in levels:
        shade = style.trim * canvas.rng.uniform(0.88, 1.05)
        canvas.rectangle(0, level - thickness, canvas.width, thickness, shade, 164)
        canvas.rectangle(0, level - 1.5 * thickness, canvas.width, 0.5 * thickness, style.trim * 0.75, 142)


def facade(
    rng: Rng, style: Style, size: Span, entrance: bool = False, wheel: bool = False, dial: bool = False, shop: bool = False
) -> Surface:
    """A whole front, width x height: storeys of windows, string courses, and in the middle what the flags ask for."""
    width, height = size
    canvas = bare_wall(rng, style, width, height)
    storeys, bays = max(int(height / style.storey), 1), max(int(width / style.bay), 1)
    storey, bay = height / storeys, width / bays
    wide, high = style.window[0] * bay, style.window[1] * storey
    canvas.rectangle(0, 0, width, rng.uniform(0.4, 1.2), style.wall * 0.72, 140)
    levels = [height - 0.05] + [k * storey for k in range(1, storeys) if rng.random() < 0.5]
    cornices(canvas, style, levels, rng.uniform(0.25, 0.55))
    if style.pilasters:
        for k in range(bays + 1):
            canvas.rectangle(k * bay - 0.25, 0, 0.5, height, style.wall * 1.08, 158)
    for row in range(storeys):
        tall = rng.uniform(0.8, 1.15)
        kind = style.opening if rng.random() < 0.7 else str(rng.choice(OPENINGS))
        taken = wheel or (entrance and row == 0) or (dial and row == storeys - 1)
        for column in range(bays):
            central = (bays - 1) // 2 <= column <= bays // 2
            if not (taken and central) and rng.random() >= 0.07:
                window(canvas, style, (column + 0.5) * bay - wide / 2, (row + 0.22) * storey, wide, high * tall, kind)
    reach = min(width, 2 * bay)
    if entrance:
        lintel = 0.34 * height if wheel else min(0.85 * storey, height * 0.6)
        door(canvas, style, width / 2 - 0.22 * reach, 0.44 * reach, lintel)
    if wheel:
        rose(canvas, style, width / 2, 0.66 * height, min(0.17 * height, 0.3 * width))
    if dial:
        clock(canvas, style, width / 2, height - 0.55 * storey, 0.34 * min(storey, width))
    if shop:
        for k in range(bays):
            if rng.random() < 0.6:
                sign(canvas, k * bay + 0.2, 0.8 * storey, bay * rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9))
    if not canvas.coarse:
        _ornament(canvas, style, storeys, storey)
    return canvas.finish(style.wear)


def _ornament(canvas: Canvas, style: Style, storeys: int, storey: float) -> None:
    """What makes a wall unique: sculpture, plaques, repaired plaster, ivy, posters."""
    rng, width, height, area = canvas.rng, canvas.width, canvas.height, canvas.width * canvas.height
    for _ in range(rng.poisson(min(area / 150, 3.0))):
        x, y = rng.uniform(0, max(width - 1.5, 0.1)), float(rng.integers(storeys) * storey + rng.uniform(0.02, 0.1) * storey)
        relief_panel(canvas, style, x, y, rng.uniform(0.8, 2.4), rng.uniform(0.6, 1.0) * 0.2 * storey + 0.5)
    for _ in range(rng.poisson(0.8)):
        x, y = rng.uniform(0, max(width - 2, 0.1)), rng.uniform(0.1, 0.8) * height
        sign(canvas, x, y, rng.uniform(0.6, 2), rng.uniform(0.6, 2.5))
    for _ in range(int(min(area / 9, 90))):  # replaced stones, repaired plaster, soot
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.15, 0.8)
        away = rng.uniform(0.6, 1.4, 8) * size
        outline = [polar((x, y), *edge) for edge in zip(away, np.linspace(0, 2 * np.pi, 8), strict=True)]
        canvas.polygon(outline, style.wall * rng.choice([0.55, 0.75, 1.2, 1.35]), int(rng.integers(110, 150)))
    if rng.random() < 0.2:
        for _ in range(120):
            x, y = rng.normal(rng.choice([0.1, 0.9]), 0.08) * width, abs(rng.normal(0, 0.25)) * height
            leaf = rng.uniform(0.1, 0.5)
            outline = [(x, y), (x + leaf, y + 0.1), (x + 0.4 * leaf, y + leaf)]
            canvas.polygon(outline, np.array([58, 84, 40]) * rng.uniform(0.6, 1.3), 145)


def roof(rng: Rng, style: Style, width: float, height: float) -> Surface:
    """Tiles or slates in rows, some newer than others, with moss."""
    density, shape = _resolution(style.sharpness, ROOF_DENSITY, TEXTURE_SIDE / 2, width, height)
    y, x = np.mgrid[: shape[0], : shape[1]] / density
    pitch = max(0.35, 2.5 / density)
    row = np.floor(y / pitch).astype(int)
    column = np.floor(x / pitch + 0.5 * (row % 2)).astype(int)
    shades = rng.normal(0, 0.13, 4999)
    tone = shades[(row * 97 + column * 7) % 4999] - 0.15 * (y / pitch % 1 < 0.2)
    tone += 0.1 * np.tanh(3 * noise(rng, shape, 4 * density))
    canvas = Canvas(rng, width, height, style.roof * (1 + tone[..., None]), 128 + 10 * (y / pitch % 1), density)
    for _ in range(rng.poisson(width * height / 120)):  # skylights and patches
        colour = (60, 66, 76) if rng.random() < 0.5 else style.roof * rng.uniform(0.6, 1.5)
        canvas.rectangle(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, 1.2), rng.uniform(0.6, 1.6), colour, 150)
    return canvas.finish(style.wear)


def ground(rng: Rng, side: float, sharpness: float) -> Surface:
    """The square around a landmark: paving, lawn or sand with paths, joints and stains; `side` metres square."""
    texels = min(round(GROUND_SIDE * sharpness), FIELD)
    shape, density = (texels, texels), texels / side
    y, x = (np.mgrid[:texels, :texels] / density).astype(np.float32)
    paving, lawn = pick(rng, PAVINGS) + rng.normal(0, 8, 3), np.array((82, 104, 52)) + rng.normal(0, 9, 3)
    green = noise(rng, shape, rng.uniform(20, 50) * density) > rng.choice([0.3, 1.0, 9.0])
    pitch = rng.uniform(0.6, 2.0)
    shades = rng.normal(0, 0.1, 7919).astype(np.float32)
    slab = shades[(np.floor(y / pitch).astype(int) * 89 + np.floor(x / pitch).astype(int) * 13) % 7919]
    stone = paving * (1 + slab[..., None] - 0.12 * ((x / pitch % 1 < 0.12) | (y / pitch % 1 < 0.12))[..., None])
    grass = lawn * (1 + 0.16 * noise(rng, shape, 1.5 * density)[..., None])
    canvas = Canvas(rng, side, side, np.where(green[..., None], grass, stone), np.full(shape, 128), density)
    for _ in range(int(rng.integers(2, 7))):  # paths, kerbs, lane markings
        a, turn, half = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0, np.pi), rng.uniform(0.15, 2.0)
        c, s = np.cos(turn), np.sin(turn)
        ends = [(a[0] + t * side * c - h * s, a[1] + t * side * s + h * c) for t, h in ring((-1, 1), (-half, half))]
        canvas.polygon(ends, paving * rng.uniform(0.7, 1.25))
    for _ in range(60):
        spot, size = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0.2, 1.2)
        outline = opening_outline("circle" if rng.random() < 0.5 else "flat", spot[0], spot[1], size, size)
        canvas.polygon(outline, paving * rng.uniform(0.4, 1.3))
    return canvas.finish(0.9)
