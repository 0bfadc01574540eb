"""Landmarks and places: every kind is on the ground, is painted everywhere, and is the same for the same random numbers."""

import numpy as np
import pytest

from bcdh_lib.photos.scene.facades import OPENINGS, Style, opening_outline
from bcdh_lib.photos.scene.landmarks import KINDS, Mason, build_landmark
from bcdh_lib.photos.scene.mesh import solidify


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


def test_the_same_numbers_give_the_same_landmark_and_others_another():
    one, same, other = (build_landmark(np.random.default_rng(seed), sharpness=0.1) for seed in (5, 5, 6))
    np.testing.assert_array_equal(solidify([one[0]]).corners, solidify([same[0]]).corners)
    assert one[1:] == same[1:] != other[1:]


def test_openings_stay_within_their_frame():
    for kind in (*OPENINGS, "circle"):
        x, y = np.array(opening_outline(kind, 1.0, 2.0, 3.0, 4.0)).T
        assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((1, 4, 2, 6))
