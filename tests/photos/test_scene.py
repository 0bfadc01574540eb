"""The rendered scene: solids, surfaces and light, landmarks, and what the camera sees of them; by hand."""

import numpy as np
import pytest

from bcdh_lib.photos.scene.camera import Shot, View, _box, _share, develop, draw_glance, draw_view, photograph
from bcdh_lib.photos.scene.facades import OPENINGS, Style, opening_outline
from bcdh_lib.photos.scene.landmarks import KINDS, Mason
from bcdh_lib.photos.scene.light import Light, _texels, bumped, shine, sky
from bcdh_lib.photos.scene.mesh import LEVELS, Mesh, Part, Surface, solidify, unit
from bcdh_lib.photos.scene.places import Place, build_place


def volume(mesh: Mesh) -> float:
    """Volume inside triangles that face outwards, by the divergence theorem."""
    a, b, c = solidify([mesh]).corners.astype(float).transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


def test_volume_of_a_box_by_hand():
    mesh = Mesh(Part.LANDMARK)
    mesh.box((0, 2), (1, 4), (0, 5), mesh.plain((1, 2, 3)), 0)
    assert volume(mesh) == pytest.approx(2 * 3 * 5)


@pytest.mark.parametrize(
    ("profile", "expected"), [([(0, 0), (2, 0), (2, 5), (0, 5)], np.pi * 4 * 5), ([(0, 0), (3, 0), (0, 4)], np.pi * 9 * 4 / 3)]
)
def test_volume_of_solids_of_revolution(profile, expected):
    mesh = Mesh(Part.LANDMARK)
    mesh.revolve((7, -3), profile, 200, mesh.plain((1, 2, 3)))
    assert volume(mesh) == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(solidify([mesh]).normals).all()


def test_a_turned_and_moved_mesh_keeps_its_shape_and_paint():
    part, whole = Mesh(Part.LANDMARK), Mesh(Part.LANDMARK)
    whole.plain((9, 9, 9))
    part.wall((0, 0), (1, 0), (0, 2), part.plain((5, 5, 5)))
    whole.extend(part, np.pi / 2, [(10, 0, 0)])
    solid = solidify([whole])
    corners = solid.corners.reshape(-1, 3)
    assert corners.min(axis=0) == pytest.approx([10, 0, 0], abs=1e-5)
    assert corners.max(axis=0) == pytest.approx([10, 1, 2], abs=1e-5)
    assert set(solid.surface) == {1}
    assert solid.normals[0, 0] == pytest.approx([1, 0, 0], abs=1e-5)


def test_copies_stand_where_they_are_put():
    one, many = Mesh(Part.LANDMARK), Mesh(Part.LANDMARK)
    one.box((0, 1), (0, 1), (0, 1), one.plain((7, 7, 7)), 0)
    many.extend(one, places=[(0, 0, 0), (5, 0, 0), (0, 0, 9)])
    assert volume(many) == pytest.approx(3)
    assert solidify([many]).corners.reshape(-1, 3).max(axis=0).tolist() == [6, 1, 10]
    many.extend(one, places=[])
    assert volume(many) == pytest.approx(3)


def test_levels_of_a_surface_halve_and_keep_the_mean():
    texels = np.random.default_rng(0).integers(0, 255, (64, 32, 6), dtype=np.uint8)
    mesh = Mesh(Part.LANDMARK)
    mesh.wall((0, 0), (1, 0), (0, 1), mesh.paint(Surface(texels, 32.0)))
    solid = solidify([mesh, Mesh(Part.FOLIAGE)])
    assert [tuple(size) for size in solid.size[0]] == [(64, 32), (32, 16), (16, 8), (8, 4), (4, 2), (2, 1), (2, 1), (2, 1)]
    assert len(solid.size[0]) == LEVELS
    first = slice(solid.start[0, 1], solid.start[0, 1] + 32 * 16)
    slow = [texels[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].astype(int).sum(axis=(0, 1)) // 4 for i in range(32) for j in range(16)]
    np.testing.assert_array_equal(solid.texels[first], slow)


def test_the_unit_of_no_length_is_no_length():
    np.testing.assert_array_equal(unit(np.zeros((2, 3))), np.zeros((2, 3)))


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


@pytest.mark.parametrize("build", KINDS)
def test_every_kind_of_landmark_stands(build):
    rng = np.random.default_rng(11)
    mason = Mason(rng, Style(rng, sharpness=0.1))
    build(mason, rng)
    solid = solidify([mason])
    heights = solid.corners[..., 2]
    assert heights.min() == pytest.approx(0, abs=1e-6)
    assert 6 < heights.max() < 90
    assert np.isfinite(solid.corners).all()
    assert solid.uv.min() >= -1e-6
    assert solid.uv.max() <= 1 + 1e-6
    assert set(solid.surface) <= set(range(len(solid.density)))
    assert len(np.unique(solid.texels[:, :3], axis=0)) > 100


def test_openings_stay_within_their_frame():
    for kind in (*OPENINGS, "circle"):
        x, y = np.array(opening_outline(kind, 1.0, 2.0, 3.0, 4.0)).T
        assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((1, 4, 2, 6))


NORTHWARDS = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # right, down, ahead


def cube_and_wall(wall: bool) -> Place:
    """A landmark, 10 m wide and high, its front at y = 0; a wall 1 m before its left half."""
    landmark, around = Mesh(Part.LANDMARK), Mesh(Part.SURROUNDINGS)
    stone = landmark.plain((200, 100, 50))
    landmark.box((-5, 5), (0, 10), (0, 10), stone, stone)
    grey = around.plain((90, 90, 90))
    around.floor((-500, 500), (-500, 500), 0, grey)
    if wall:
        around.wall((-5, -0.01), (0, -0.01), (0, 10), grey)
    return Place(solidify([landmark, around]), True, 10.0, 10.0, 60.0)


def view(focal: float) -> View:
    return View(np.array([0, -20, 5], np.float32), NORTHWARDS, focal)


@pytest.mark.parametrize(("wall", "focal", "share"), [(False, 1.0, 1.0), (True, 1.0, 0.5), (False, 4.0, 0.25)])
def test_share_of_the_landmark_seen_by_hand(wall, focal, share):
    # From 20 m, focal 1 shows 20 m of the front's plane: all of the landmark; focal 4 shows 5 x 5 m of its 10 x 10 m.
    place = cube_and_wall(wall)
    shot = Shot(view(focal), [place.solid], 160, 160)
    filled = float((shot.part == Part.LANDMARK).mean())
    assert _share(place, view(focal), filled, 160, 160) == pytest.approx(share, abs=0.04)


def test_box_around_what_is_seen_by_hand():
    shot = Shot(view(1.0), [cube_and_wall(True).solid], 160, 160)
    x1, y1, x2, y2 = _box(shot.part == Part.LANDMARK, 160, 160)
    assert (x1, y1, x2, y2) == pytest.approx((80, 40, 120, 120), abs=1)


def test_rays_hit_where_geometry_says():
    shot = Shot(view(1.0), [cube_and_wall(False).solid], 40, 40)
    ahead = shot.rays @ np.array([0, 1, 0], np.float32)
    front = shot.part == Part.LANDMARK
    np.testing.assert_allclose((shot.distance * ahead)[front], 20.0, rtol=1e-4)
    ground = np.isfinite(shot.distance) & ~front
    np.testing.assert_allclose((shot.distance[..., None] * shot.rays + shot.view.eye)[ground][:, 2], 0, atol=1e-3)
    assert (shot.rays[~np.isfinite(shot.distance)][:, 2] > -0.011).all()  # the ground ends 500 m away, 5 m below


@pytest.mark.parametrize("draw", [lambda rng, place: draw_view(rng, place, 0.75, plain=False), draw_glance])
def test_views_are_upright_rotations_above_the_ground_within_the_place(draw):
    place = cube_and_wall(False)
    for seed in range(50):
        drawn = draw(np.random.default_rng(seed), place)
        np.testing.assert_allclose(drawn.turn @ drawn.turn.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(drawn.turn) == pytest.approx(1, abs=1e-5)
        assert drawn.turn[1, 2] < 0  # down is down
        assert drawn.eye[2] > 1
        assert np.hypot(*drawn.eye[:2]) <= place.radius


def test_a_query_shows_as_much_as_it_must_and_the_same_numbers_give_the_same_photo():
    place = cube_and_wall(False)
    photo, again = (photograph(np.random.default_rng(1), place, 64, 48, whole=0.35) for _ in range(2))
    assert photo.seen.share >= 0.35
    assert photo.pixels.shape == (48, 64, 3)
    np.testing.assert_array_equal(photo.pixels, again.pixels)


def test_a_place_without_landmark_has_nothing_to_show():
    photo = photograph(np.random.default_rng(2), build_place(np.random.default_rng(1), landmark=False, sharpness=0.2), 64, 64)
    assert photo.seen.share == 0
    assert photo.seen.box is None


def test_where_more_light_falls_the_photo_is_brighter():
    picture = np.full((96, 96, 3), 0.2, np.float32)
    picture[:48] = 0.5
    for seed in range(20):
        pixels = develop(np.random.default_rng(seed), picture, 64, 64).astype(float)
        assert pixels.shape == (64, 64, 3)
        assert pixels[:31].mean() > pixels[33:].mean() + 10
