"""Shading: texels between four, relief that tilts, surfaces in and out of the sun."""

import numpy as np
import pytest

from bcdh_lib.photos.scene.light import Light, _texels, bumped, shine, sky
from bcdh_lib.photos.scene.mesh import Mesh, Part, Surface, solidify


def wall(texels: np.ndarray):
    mesh = Mesh(Part.LANDMARK)
    mesh.wall((0, 0), (1, 0), (0, 1), mesh.paint(Surface(texels, 1.0)))
    return solidify([mesh])


def look_up(solid, uv):
    count = len(uv)
    return _texels(solid, np.zeros(count, np.int32), np.zeros(count, np.int64), np.array(uv, np.float32))


def test_texels_by_hand_left_right_and_upside():
    texels = np.zeros((2, 2, 6), np.uint8)
    texels[0, 0], texels[0, 1], texels[1, 0], texels[1, 1] = 10, 20, 30, 40  # the first row is the top
    found = look_up(wall(texels), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.5), (0.5, 1.0)])
    assert found[:, 0].tolist() == [10, 20, 30, 40, 25, 15]


def test_texels_equal_a_slow_loop():
    rng = np.random.default_rng(0)
    texels, uv = rng.integers(0, 255, (7, 5, 6), dtype=np.uint8), rng.random((50, 2))

    def slow(u, v):
        x, y = np.clip(u * 5 - 0.5, 0, 4), np.clip((1 - v) * 7 - 0.5, 0, 6)
        total = np.zeros(6)
        for row in range(7):
            for column in range(5):
                total += max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row)) * texels[row, column]
        return total

    np.testing.assert_allclose(look_up(wall(texels), uv), [slow(*place) for place in uv], atol=0.01)


def test_relief_tilts_the_normal_away_from_the_slope():
    front = np.array([[0, -1, 0]] * 3, np.float32)
    tilted = bumped(front, np.array([[128, 128], [178, 128], [128, 178]], np.float32))  # flat, rising rightwards, upwards by 1
    half = np.sqrt(0.5)
    np.testing.assert_allclose(tilted, [[0, -1, 0], [-half, -half, 0], [0, -half, -half]], atol=1e-6)


def test_the_sun_adds_light_and_only_leaves_change_with_the_season():
    light = Light(np.random.default_rng(0), 0.0)
    texels = np.tile(np.array([[180, 150, 120, 128, 128, 0]], np.float32), (4, 1))
    rough, height = np.tile(np.array([[0, -1, 0]], np.float32), (4, 1)), np.full(4, 10, np.float32)
    sunlit, leaf = np.array([0, 1, 0, 0], np.float32), np.array([False, False, True, False])
    back = shine(texels, rough, sunlit, light, height, leaf)
    assert (back[1] > back[0]).all()
    np.testing.assert_allclose(back[2], back[0] * light.leaves, rtol=1e-5)
    np.testing.assert_array_equal(back[3], back[0])


@pytest.mark.parametrize("rise", [-0.2, 0.0, 1.0])
def test_the_sky_is_light_in_every_direction(rise):
    light = Light(np.random.default_rng(1), 0.0)
    around = np.linspace(0, 2 * np.pi, 9)
    flat = np.sqrt(1 - rise**2)
    rays = np.stack([flat * np.cos(around), flat * np.sin(around), np.full(9, rise)], axis=1).astype(np.float32)
    seen = sky(np.random.default_rng(2), rays, light)
    assert seen.shape == (9, 3)
    assert (seen > 0).all()
    assert sky(np.random.default_rng(2), rays[:0], light).shape == (0, 3)
