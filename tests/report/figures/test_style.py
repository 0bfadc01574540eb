"""The look of methods, and the words on figures."""

from bcdh_lib.report.figures import style
from bcdh_lib.report.figures.style import benchmark_label, counted


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
