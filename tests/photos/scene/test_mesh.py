"""Solids: closed, facing outwards, and painted the right way up."""

import numpy as np
import pytest

from bcdh_lib.photos.scene.mesh import LEVELS, Mesh, Part, Surface, solidify, unit


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
