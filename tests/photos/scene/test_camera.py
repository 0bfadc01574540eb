"""The camera: how much it sees of a landmark, and whether that is in the right place."""

import numpy as np
import pytest

from bcdh_lib.photos.scene.camera import Shot, View, _box, _share, develop, draw_glance, draw_view, photograph
from bcdh_lib.photos.scene.mesh import Mesh, Part, solidify
from bcdh_lib.photos.scene.places import Place, build_place

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
