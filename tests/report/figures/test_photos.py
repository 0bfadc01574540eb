"""The photo collection and the benchmarks, as figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.report.figures import photos
from bcdh_lib.retrieval.benchmarks import Benchmark, Query

from .conftest import Printed


def test_a_benchmark_sheet_shows_queries_with_their_answers(printed: Printed, image: Callable[[int], Path]) -> None:
    files = {str(number): image(number) for number in range(8)}
    many = Query("radcliffe_camera_of_oxford_1", "0", (5, 5, 20, 20), frozenset("0123456"), frozenset("7"))
    few = Query("b", "5", None, frozenset("4"), frozenset())
    figure, alt = printed(photos.benchmark_sheet, Benchmark("rendered_paris", files, [many, few]))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[2:] == ["radcl…oxford_1", "4 of 7", *"✓✓✓✓", "1 of 1", "–", "b", "1 of 1", "✓"]
    assert alt.startswith("2 queries of the 2 of Rendered Paris, 8 photos large")
