"""How training went, as figures."""

import numpy as np
import pandas as pd

from bcdh_lib.report.figures import training


def history(rounds, *runs):
    """Loss 2 / round, quantization 1 / round, mAP round / 100; nothing but mAP in round 0."""
    number = np.tile(np.arange(rounds + 1), len(runs))
    with np.errstate(divide="ignore"):
        falling = np.where(number > 0, 1 / number, np.nan)
    names = np.repeat(runs, rounds + 1)
    columns = {"run": names, "round": number, "loss": 2 * falling, "quantization": falling, "validation_map": number / 100}
    return pd.DataFrame(columns)


def test_every_run_has_its_curves_and_names(printed):
    figure, alt = printed(training.curves, history(4, "binary_constrained-16", "binary_constrained-64", "float"))
    rising, loss = figure.axes
    assert [line.get_label() for line in rising.lines] == ["BCDH, 64 bits", "BCDH, 16 bits", "Float baseline"]
    assert len({line.get_linestyle() for line in rising.lines[:2]}) == 2
    assert np.allclose(loss.lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert "Float baseline from 0.000 to 0.040" in alt


def test_bits_of_hand_made_outputs(printed):
    outputs = np.array([[0.2, -0.1, 3], [0.1, -5, 3], [-1, 2, 0], [-2, 0, 1]])  # bit 1 is the opposite of bit 0; bit 2 constant
    figure, alt = printed(training.bits, outputs)
    assert alt.startswith("3 bits: the share of +1 runs from 0.50 to 1.00; 1 are constant.")
    assert figure.axes[0].lines[1].get_ydata().tolist() == [0.5, 0.5, 1.0]
    assert "8 are constant" in printed(training.bits, np.ones((1, 8))).alt


def test_distances_are_drawn_as_shares_of_the_pairs(printed):
    outputs = np.array([[1.0, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]])
    similar, dissimilar = np.array([[0, 1], [1, 0]]), np.array([[0, 2], [1, 2]])
    figure, alt = printed(training.pair_distances, {"Before training": outputs, "After training": -outputs}, similar, dissimilar)
    assert "similar pairs before training: median 1; dissimilar pairs before training: median 4" in alt.replace("3.5", "4")
    shares = [patch.get_data().values.tolist() for patch in figure.axes[0].patches]
    assert shares == [[0, 1, 0, 0, 0]] * 2 + [[0, 0, 0, 0.5, 0.5]] * 2


def test_one_pair_shows_its_flips_and_its_least_energy(printed):
    u, v = np.array([0.5, -1.0, 2.0]), np.array([0.1, -2.0, -1.0])
    figure, alt = printed(training.one_pair, u, v, np.array([0]), np.array([3.0, 2.5, 2.75]))
    assert alt.endswith("The energy goes from 3.000 without a flip to 2.500 with 1 flip.")
    assert [bar.get_center()[0] for bar in figure.axes[0].patches] == [0]
    printed(training.one_pair, u, v, np.array([], dtype=int), np.array([1.0]))


def test_a_batch_is_drawn(printed):
    panels = {"Similar": np.eye(4, dtype=bool), "Distance": np.arange(16.0).reshape(4, 4)}
    figure, alt = printed(training.matrices, panels)
    assert alt == "Matrices over 4 photos of a batch: Similar; Distance."
    assert (figure.axes[1].images[0].get_array() == panels["Distance"]).all()
