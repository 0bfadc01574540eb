"""How training went, as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.core.codes import hamming, pack
from bcdh_lib.report.figures import training
from bcdh_lib.training.losses.binary_constrained import BinaryConstrained

from .conftest import Printed

SETTINGS = {"quantization_weight": 0.44, "margin": 0.5}


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
        "Binary constrained (ours), 16 bits",
        "Binary constrained (ours), 64 bits",
    ]
    assert len(rising.lines) == len(loss.lines) == 3
    assert np.allclose(loss.lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert loss.lines[0].get_color() != loss.lines[1].get_color()
    assert "Float parent from 0.000 to 0.040" in alt


def test_curves_of_runs_that_have_not_begun(printed: Printed) -> None:
    printed(training.curves, history(0, "dsh-64"))


def test_bits_of_hand_made_outputs(printed: Printed) -> None:
    outputs = np.array([[0.2, -0.1, 3], [0.1, -5, 3], [-1, 2, 0], [-2, 0, 1]])  # bit 1 is the opposite of bit 0; bit 2 constant
    figure, alt = printed(training.bits, outputs)
    assert alt.startswith("3 bits: the share of +1 runs from 0.50 to 1.00; 1 are constant.")
    assert figure.axes[0].lines[1].get_ydata().tolist() == [0.5, 0.5, 1.0]


def test_bit_correlation_is_pearsons() -> None:
    codes = np.where(np.random.default_rng(0).normal(size=(50, 6)) >= 0.3, 1.0, -1.0)
    assert np.allclose(training.bit_correlation(codes), np.corrcoef(codes.T))
    codes[:, 2] = -1
    correlation = training.bit_correlation(codes)
    assert np.isnan(correlation[2]).all()
    assert np.isfinite(np.delete(np.delete(correlation, 2, 0), 2, 1)).all()


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


def test_distances_without_any_pair(printed: Printed) -> None:
    none = np.empty((0, 2), dtype=int)
    drawn = printed(training.pair_distances, {"before training": np.ones((3, 8))}, none, none)
    assert "median none" in drawn[1]


@pytest.mark.parametrize("similar", [True, False])
def test_the_energy_of_one_bit_is_the_least_over_its_four_codes(similar: bool) -> None:
    loss = BinaryConstrained(1, BinaryConstrained.Settings.model_validate(SETTINGS))
    energy, codes = training.one_bit(loss, similar, steps=20)
    ticks = np.linspace(-training.REACH, training.REACH, 20)
    for row, v in enumerate(ticks):
        for column, u in enumerate(ticks):
            of_codes = [
                (float(a != b) if similar else max(0.0, 0.5 - (a != b))) + 0.22 * ((u - a) ** 2 + (v - b) ** 2)
                for a in (-1, 1)
                for b in (-1, 1)
            ]
            assert np.isclose(energy[row, column], min(of_codes))
            assert np.isclose(of_codes[codes[row, column]], min(of_codes))


def test_the_surface_names_every_code_that_is_taken(printed: Printed) -> None:
    drawn = printed(training.energy_of_one_bit, SETTINGS)
    exact, smooth = drawn[0].axes[:2], drawn[0].axes[2:4]
    for panel in exact:
        assert sorted(text.get_text() for text in panel.texts) == ["+ +", "+ −", "− +", "− −"]
    assert [len(panel.texts) for panel in smooth] == [0, 0]


@pytest.mark.parametrize("similar", [True, False])
def test_the_smooth_energy_lies_below_the_exact_one_and_near_it_when_cold(similar: bool) -> None:
    energies = [
        training.one_bit(
            BinaryConstrained(1, BinaryConstrained.Settings.model_validate({**SETTINGS, **form})), similar, steps=20
        )[0]
        for form in ({"form": "exact"}, {"form": "smooth"}, {"form": "smooth", "inverse_temperature": 200.0})
    ]
    for smooth, tau in zip(energies[1:], (1, 1 / 200), strict=True):
        assert (smooth <= energies[0] + 1e-9).all()
        assert (smooth >= energies[0] - 2 * tau * np.log(2) - 1e-9).all()  # docs/method.md


def test_the_surface_of_any_settings(printed: Printed) -> None:
    settings = {**SETTINGS, "quantization_share": 0.0, "form": "smooth", "inverse_temperature": 5.0}
    assert "Smooth form at τ = 0.2, below" in printed(training.energy_of_one_bit, settings)[1]
