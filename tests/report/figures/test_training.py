"""How training went, as figures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from bcdh_lib.core.codes import hamming, pack
from bcdh_lib.report.figures import training
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.losses import make_loss

from .conftest import Printed


def history(rounds: int, *runs: str) -> pd.DataFrame:
    """Loss 2 / round, quantization 1 / round, mAP round / 100; nothing but mAP in round 0."""
    number = np.tile(np.arange(rounds + 1), len(runs))
    with np.errstate(divide="ignore"):
        falling = np.where(number > 0, 1 / number, np.nan)
    names = np.repeat(runs, rounds + 1)
    columns = {"run": names, "round": number, "loss": 2 * falling, "quantization": falling, "validation_map": number / 100}
    return pd.DataFrame(columns)


def test_every_run_has_its_curves_and_names(printed: Printed) -> None:
    figure, alt = printed(training.curves, history(4, "binary_constrained-16", "binary_constrained-64", "float"))
    rising, loss, quantization = figure.axes
    assert [text.get_text() for text in quantization.texts] == [
        "BCDH, 16 bits",
        "BCDH, 64 bits",
    ]
    assert len(rising.lines) == len(loss.lines) == 3
    assert np.allclose(loss.lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert loss.lines[0].get_color() != loss.lines[1].get_color()
    assert "Float baseline from 0.000 to 0.040" in alt


def test_bits_of_hand_made_outputs(printed: Printed) -> None:
    outputs = np.array([[0.2, -0.1, 3], [0.1, -5, 3], [-1, 2, 0], [-2, 0, 1]])  # bit 1 is the opposite of bit 0; bit 2 constant
    figure, alt = printed(training.bits, outputs)
    assert alt.startswith("3 bits: the share of +1 runs from 0.50 to 1.00; 1 are constant.")
    assert figure.axes[0].lines[1].get_ydata().tolist() == [0.5, 0.5, 1.0]


def test_bits_of_a_single_photo_are_all_constant(printed: Printed) -> None:
    drawn = printed(training.bits, np.ones((1, 8)))
    assert "8 are constant" in drawn[1]


def test_distances_of_pairs_are_those_of_the_packed_codes() -> None:
    generator = np.random.default_rng(0)
    outputs, pairs = generator.normal(size=(20, 32)), generator.integers(0, 20, (50, 2))
    outputs[0] = 0
    assert (training.code_distances(outputs, pairs) == hamming(pack(outputs), pack(outputs))[pairs[:, 0], pairs[:, 1]]).all()


def test_distances_are_drawn_as_shares_of_the_pairs(printed: Printed) -> None:
    outputs = np.array([[1.0, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]])
    similar, dissimilar = np.array([[0, 1], [1, 0]]), np.array([[0, 2], [1, 2]])
    figure, alt = printed(training.pair_distances, {"before training": outputs, "after training": -outputs}, similar, dissimilar)
    assert "similar pairs before training: median 1; dissimilar pairs before training: median 4" in alt.replace("3.5", "4")
    shares = [patch.get_data().values.tolist() for patch in figure.axes[0].patches]
    assert shares == [[0, 1, 0, 0, 0]] * 2 + [[0, 0, 0, 0.5, 0.5]] * 2


@pytest.mark.parametrize("similar", [True, False])
def test_the_worked_pair_equals_brute_force(printed: Printed, similar: bool) -> None:
    loss = make_loss("binary_constrained", 6, open_study(root=find_root()).params.losses["binary_constrained"])
    weight, codes = loss.settings.quantization_weight, np.array(list(product((-1, 1), repeat=6)))
    for seed in range(5):
        u, v = np.random.default_rng(seed).normal(size=(2, 6))
        pair = training.work_through(loss, u, v, similar)
        best = min(
            float(loss.distance_loss(torch.tensor(float((a != b).sum())), torch.tensor(similar)))
            + weight / 2 * (((u - a) ** 2).sum() + ((v - b) ** 2).sum())
            for a in codes
            for b in codes
        )
        assert pair.energy.min() == pytest.approx(best)
        a, b = pair.codes
        assert (a != b).sum() == pair.distance + len(pair.flipped) * (-1 if similar else 1)
        np.testing.assert_allclose(pair.gradient[0], weight * (u - a))
    printed(training.one_pair, pair)


def test_a_batch_is_drawn(printed: Printed) -> None:
    similar = np.eye(4, dtype=bool)
    similar[0, 1] = similar[1, 0] = True
    distances = np.array([[0, 2, 6, 6], [2, 0, 6, 6], [6, 6, 0, 6], [6, 6, 6, 0]])
    assert "similar pairs are 2.0 bits apart on average, the others 6.0" in printed(training.pair_matrix, distances, similar)[1]
