"""Statistics of bits: by hand, and without any pair or moving bit."""

import numpy as np
import pytest

from bcdh_lib.comparison.bit_statistics import bit_statistics


def test_by_hand():
    """Four photos of two groups, 8 bits: bit 0 tells the groups apart, bit 1 is its opposite, the others never change."""
    outputs = np.full((4, 8), 2.0, dtype=np.float32)
    outputs[:2, 0] = outputs[2:, 1] = -2
    bits = {"frozen_bits": 6 / 8, "imbalance": 6 / 8, "correlation": 1, "quantization": 1}
    distances = {"similar_distance": 0, "dissimilar_distance": 2 / 8, "inside_margin": 1}
    assert bit_statistics(outputs, np.array([0, 0, 1, 1])) == pytest.approx(bits | distances)


def test_one_photo_and_bits_that_never_change():
    found = bit_statistics(np.ones((1, 8), dtype=np.float32), np.array([0]))
    assert found["frozen_bits"] == 1
    assert np.isnan([found[name] for name in ("correlation", "similar_distance", "dissimilar_distance")]).all()
