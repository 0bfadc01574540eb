"""Tiny photos of textured reliefs: panels at several depths, seen from a camera that moves along an arc."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, FOCAL = 320, 240, 384.0  # px; the focal length is what COLMAP supposes of an unknown camera


def relief(seed: int, panels: int = 7) -> list[tuple[np.ndarray, Image.Image]]:
    """Panels of a scene, the farthest first: corners, float [4, 3] (the scene is about 2 wide), and a texture."""
    random = np.random.default_rng(seed)
    scene = [(_panel(0, 0, 2, 1.5, 0.6), _texture(random, 640, 480))]
    for depth in np.sort(random.uniform(-0.6, 0.4, panels))[::-1]:
        x, y = random.uniform(-1.0, 1.0), random.uniform(-0.7, 0.7)
        wide, high = random.uniform(0.2, 0.4, 2)
        scene.append((_panel(x, y, wide, high, depth), _texture(random, 192, 192)))
    return scene


def _panel(x: float, y: float, wide: float, high: float, depth: float) -> np.ndarray:
    return np.array([[x + i * wide, y + j * high, depth] for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])


def photograph(scene: list[tuple[np.ndarray, Image.Image]], angle: float, distance: float = 3.0) -> Image.Image:
    """A photo of the relief from `angle` (radians) to its middle's side, looking at its middle."""
    photo = Image.new("RGB", (WIDTH, HEIGHT))
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    for corners, texture in scene:
        seen = corners @ turn.T + [0, 0, distance]
        place = seen[:, :2] / seen[:, 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
        width, height = texture.size
        coefficients = _homography(place, np.array([[0, 0], [width, 0], [width, height], [0, height]]))
        shape = photo.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
        photo.paste(texture.transform(*shape), mask=Image.new("L", texture.size, 255).transform(*shape))
    return photo


def _texture(random: np.random.Generator, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), tuple(random.integers(40, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(width * height // 250):
        x, y, size = random.uniform(0, width), random.uniform(0, height), random.uniform(2, 14)
        colour = tuple(random.integers(0, 256, 3).tolist())
        corners = [(x + size * np.cos(t), y + size * np.sin(t)) for t in random.uniform(0, 6.3, 3)]
        draw.polygon(corners, fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _homography(source: np.ndarray, target: np.ndarray) -> tuple[float, ...]:
    """The eight coefficients of Pillow's PERSPECTIVE that take the four source points to the four target points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(values)).tolist())
