"""Curves of mAP: what is drawn and said, on a table by hand and on almost none."""

import pandas as pd
import pytest

from bcdh_lib.report.figures.curves import by_benchmark, by_length, curves

MAPS = {"binary_constrained": (0.3, 0.5), "dsh": (0.2, 0.4), "dch": (0.1, 0.6), "hashnet": (0.15, 0.35), "itq": (0.25, 0.45)}
ROWS = [(method, bits, value) for method, values in MAPS.items() for bits, value in zip((16, 32), values, strict=True)]
ROWS.append(("float", None, 0.7))
TABLE = pd.DataFrame(ROWS, columns=["method", "bits", "map"]).astype({"bits": "Int32"}).assign(low=0.1, high=0.9)


def test_bcdh_the_best_other_loss_and_itq_have_names_and_the_float_baseline_is_level() -> None:
    picture = curves(TABLE, "bits", "Longer codes")
    said = {"BCDH": "0.300 to 0.500", "DCH": "0.100 to 0.600", "ITQ": "0.250 to 0.450", "Float baseline": "0.700 to 0.700"}
    assert all(f"{method} from {figures}" in picture.alt for method, figures in said.items())
    assert "DSH" not in picture.alt
    [panel] = picture.figure.axes
    assert [line.get_ydata()[0] for line in panel.lines[:2]] == [0.2, 0.15]  # grey, in the same order in every process
    assert len(panel.lines) == 6
    level = next(line for line in panel.lines if line.get_label() == "Float baseline")
    assert list(level.get_ydata()) == [0.7, 0.7]


@pytest.mark.parametrize("x", ["bits", "models"])
def test_one_method_at_one_place_can_be_drawn(x: str) -> None:
    assert "BCDH from 0.300 to 0.300" in curves(TABLE.assign(models=8)[:1], x, "One").alt


def test_a_picture_for_each_length_or_benchmark() -> None:
    assert [each.alt.partition(",")[0] for each in by_length(TABLE.assign(models=8))] == ["16 bits", "32 bits"]
    table = TABLE.assign(benchmark="holidays300", trained_on="tourists")
    assert [each.alt.split(", mAP")[0] for each in by_benchmark(table)] == ["Holidays300, trained on tourists"]
    assert by_length(TABLE[:0].assign(models=8)) == by_benchmark(table[:0]) == []
