"""Figures in a notebook, and charts: their bytes and alt text, the look of methods, what is drawn on tables by hand."""

import base64

import matplotlib
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from bcdh_lib.report.figures import comparison, display, style, training
from bcdh_lib.report.figures.curves import by_benchmark, by_length, curves
from bcdh_lib.report.figures.display import Gallery, PhotoPicture, Picture, View
from bcdh_lib.report.figures.style import benchmark_label, counted


@style.styled()
def plot():
    figure, axes = style.new_figure(height=2)
    axes[0, 0].plot([16, 32], [0.2, 0.4], label="mAP")
    axes[0, 0].legend()
    return figure


def test_a_picture_is_shown_at_half_its_pixels_with_its_alt_text():
    data, metadata = Picture(plot(), "mAP rises with bits.")._repr_mimebundle_()
    assert metadata == {"image/png": {"width": 760, "alt": "mAP rises with bits."}}
    assert base64.b64decode(data["image/png"])[16:24] == np.array([1520, 400], ">u4").tobytes()  # IHDR's width, height
    data, metadata = PhotoPicture(plot(), "Photos.")._repr_mimebundle_()
    assert metadata["image/jpeg"]["alt"] == "Photos."
    assert base64.b64decode(data["image/jpeg"])[:2] == b"\xff\xd8"


def test_a_gallery_shows_all_it_holds_and_texts_as_captions():
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.display_formatter.format(Gallery([Picture(plot(), "One."), "*Bits* and mAP."]))
    one, caption = captured.outputs
    assert set(one.data) == {"image/png", "text/plain"}
    assert caption.data["text/markdown"] == "*Bits* and mAP."
    assert caption.metadata["text/markdown"] == {"caption": True}


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_the_same_plot_is_the_same_bytes_whatever_the_users_own_style(form):
    plain, before = display.saved(plot(), form), dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.family": "serif", "savefig.dpi": 30, "axes.grid": False, "savefig.bbox": "tight"}):
        assert display.saved(plot(), form) == plain
    assert b"Software" not in plain
    assert dict(matplotlib.rcParams) == before


def test_a_view_has_its_still_and_its_alt_text():
    view = go.Figure(go.Scatter3d(x=np.arange(3, dtype=np.float32), y=[0, 0, 1], z=[1, 2, 3]))
    data, metadata = View(view, plot(), "A tower in 3 points.")._repr_mimebundle_()
    assert data[display.VIEW]["data"][0]["type"] == "scatter3d"
    assert base64.b64decode(data["image/png"]) == display.saved(plot())
    assert metadata["image/png"]["alt"] == "A tower in 3 points."


def test_no_figure_without_alt_text():
    for empty in (Picture(plot(), " "), PhotoPicture(plot(), ""), View(go.Figure(), plot(), "")):
        with pytest.raises(ValueError, match="alt text"):
            empty._repr_mimebundle_()


def test_counts_and_names() -> None:
    assert [counted(number, "photo") for number in (0, 1, 2000)] == ["0 photos", "1 photo", "2,000 photos"]
    assert counted(2, "query", "queries") == "2 queries"
    assert benchmark_label("rendered_oxford") == "Rendered Oxford"
    assert benchmark_label("roxford5k_hard") == "ROxford5k Hard"


def test_methods_differ_in_colour_and_marker_and_a_new_one_needs_no_entry() -> None:
    faces = [(each.colour, each.marker) for each in map(style.face, style.NAMES)]
    assert len(set(faces)) == len(faces)
    assert style.face("a_new_loss").label == "A NEW LOSS"
    assert style.face("cosine").label == "Cosine"
    assert style.face("cosine") == style.face("cosine") != style.face("itq")
    assert style.in_order(["zeta", "itq", "binary_constrained", "alpha", "itq"]) == ["binary_constrained", "itq", "alpha", "zeta"]


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


def test_differences_and_their_sentence(printed):
    rows = [
        ("dsh", 16, 0.05, 0.01, 0.09, "better"),
        ("dsh", 64, -0.04, -0.06, -0.02, "worse"),
        ("itq", 16, 0, -0.1, 0.1, "undecided"),
    ]
    table = pd.DataFrame(rows, columns=["method", "bits", "difference", "low", "high", "verdict"])
    figure, alt = printed(comparison.differences, table)
    assert alt.endswith("BCDH is significantly better in 1 of 3 comparisons and worse in 1.")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ITQ", "DSH"]
    assert comparison.in_words(table[table["method"] == "itq"]).endswith("better in 0 of 1 comparisons and worse in none")


def test_ablations(printed):
    rows = [("no_batch_norm", 64, -0.1, -0.2, -0.05, "worse"), ("reference", 64, 0, 0, 0, "undecided")]
    table = pd.DataFrame(rows, columns=["ablation", "bits", "difference", "low", "high", "verdict"])
    figure, alt = printed(comparison.differences, table, what="ablation")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["no batch norm"]
    assert "1 are significant" in alt


def test_a_study_that_never_ran_has_empty_tables_that_can_be_drawn(printed, tmp_path):
    tables = comparison.study_tables(tmp_path, "real_")
    assert all(table.empty for table in tables.values())
    printed(comparison.differences, tables["differences"])


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
