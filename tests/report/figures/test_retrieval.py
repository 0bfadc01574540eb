"""How well codes retrieve, as figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.report.figures import retrieval
from bcdh_lib.retrieval.benchmarks import Benchmark, Query

from .conftest import Printed

SYSTEMS = {("binary_constrained", 16): 0.3, ("binary_constrained", 64): 0.5, ("dsh", 64): 0.4, ("float", None): 0.6}


def test_precision_recall_shows_the_chosen_length_and_the_vectors(printed: Printed) -> None:
    recall = np.linspace(0.05, 1, 20)
    curves = pd.concat(
        pd.DataFrame({"recall": recall, "precision": value * (1 - recall)}).assign(
            benchmark="rendered_paris", method=method, bits=bits
        )
        for (method, bits), value in SYSTEMS.items()
    )
    figure, alt = printed(retrieval.precision_recall, curves)
    assert sorted(str(line.get_label()) for line in figure.axes[0].lines) == ["BCDH", "DSH", "Float baseline"]
    assert alt == "Precision against recall at 64 bits. BCDH at half recall: 0.25 on Rendered Paris."
    printed(retrieval.precision_recall, curves.iloc[:0], bits=8)


@pytest.fixture
def benchmark_of_photos(image: Callable[[int], Path]) -> Benchmark:
    """Six photos; query a is photo 0 (junk for itself), answered by 1 and 2; query b is answered by none."""
    photos = {str(number): image(number) for number in range(6)}
    first = Query("a", "0", (5, 5, 30, 30), frozenset({"1", "2"}), frozenset({"0"}))
    return Benchmark("rendered_holidays", photos, [first, Query("b", "5", None, frozenset(), frozenset())])


def test_a_ranking_is_shown_in_its_order_with_its_marks(printed: Printed, benchmark_of_photos: Benchmark) -> None:
    distances = np.array([[0, 9, 4, 4, 30, 30], [1, 1, 1, 1, 1, 0]], dtype=np.uint16)
    figure, alt = printed(retrieval.ranking_gallery, benchmark_of_photos, distances, ["a"], k=4)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[2:] == ["a\n2 positives", "–", "0 bits", "✓", "4 bits", "✗", "4 bits", "✓", "9 bits"]
    assert alt == "1 query of Rendered Holidays, each with its 4 nearest photos; 2 of the 4 photos are hits."


def test_rankings_of_all_queries_by_real_distances(printed: Printed, benchmark_of_photos: Benchmark) -> None:
    distances = np.random.default_rng(0).uniform(size=(2, 6))
    figure, alt = printed(retrieval.ranking_gallery, benchmark_of_photos, distances, ["b", "a"], k=9, unit="")
    assert f"{distances[1].min():.3f}" in [text.get_text() for text in figure.axes[0].texts]
    assert "each with its 6 nearest photos; 2 of the 12 photos" in alt
    with pytest.raises(ValueError, match="rendered_holidays: has no query c; its queries are a, b"):
        retrieval.ranking_gallery(benchmark_of_photos, distances, ["c"])


def queries(**ap: list[float]) -> pd.DataFrame:
    """One benchmark; the last query of each method has no positives, so its AP is NaN."""
    rows = [
        {"benchmark": "rendered_oxford", "method": method, "bits": None if method == "float" else 64, "seed": 7}
        | {"query": f"q{number}", "positives": 3 if number < len(values) else 0, "ap": value}
        for method, values in ap.items()
        for number, value in enumerate([*values, np.nan])
    ]
    return pd.DataFrame(rows).astype({"bits": "Int32"})


def test_worst_queries_have_positives_and_come_worst_first() -> None:
    table = queries(binary_constrained=[0.5, 0.2, 0.9], dsh=[0.1, 0.1, 0.1], float=[0.3, 0.4, 0.2])
    assert retrieval.worst_queries(table, "rendered_oxford", "binary_constrained", 64, 2) == ["q1", "q0"]
    assert retrieval.worst_queries(table, "rendered_oxford", "float", None, 9) == ["q2", "q0", "q1"]
    assert retrieval.worst_queries(table, "rendered_paris", "float", None, 9) == []
