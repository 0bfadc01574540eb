"""The comparison over seeds, as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.report.figures import comparison

from .conftest import Printed

METHODS = {"binary_constrained": 0.5, "dsh": 0.45, "itq": 0.55, "lsh": 0.2}


@pytest.fixture
def summary() -> pd.DataFrame:
    rows = [
        {"benchmark": name, "method": method, "bits": bits, "map": value + bits / 1000, "low": value - 0.1, "high": value + 0.2}
        for name in ("rendered_oxford", "rendered_paris")
        for method, value in METHODS.items()
        for bits in (16, 64)
    ]
    real = {"benchmark": "rendered_oxford", "method": "float", "bits": None, "map": 0.7, "low": 0.69, "high": 0.71}
    return pd.DataFrame([*rows, real]).astype({"bits": "Int32"})


def test_lines_over_seeds_with_bands_for_ours_and_the_best_other(printed: Printed, summary: pd.DataFrame) -> None:
    figure, alt = printed(comparison.map_over_seeds, summary)
    panel = figure.axes[0]
    assert any(np.allclose(line.get_ydata(), [0.516, 0.564]) for line in panel.lines)
    assert len(panel.collections) == 2  # ours and ITQ
    assert "Float parent" in {text.get_text() for text in panel.texts}
    assert alt.startswith("mAP against code length, means over the seeds. Ours on Rendered Oxford from 0.516 to 0.564; ")
    printed(comparison.map_over_seeds, summary.iloc[:0])


def made_up_queries(count: int = 30) -> pd.DataFrame:
    """ITQ is the best on every query, LSH the worst; ours and DSH take turns."""
    rows = [
        {"benchmark": "b", "method": method, "bits": 16, "seed": seed, "query": f"q{place}", "positives": 2}
        | {"ap": value + (0.1 if method == "dsh" and place % 2 else 0)}
        for method, value in METHODS.items()
        for seed in (1, 2)
        for place in range(count)
    ]
    return pd.DataFrame(rows)


def test_ranks_and_the_critical_difference_by_hand() -> None:
    """Demsar's table: for 4 methods q is 2.569; DSH is third, and on every other query as good as ITQ."""
    ranks, count = comparison.mean_ranks(made_up_queries(), 16)
    assert count == 30
    assert ranks.to_dict() == pytest.approx({"itq": 1.25, "binary_constrained": 2.5, "dsh": 2.25, "lsh": 4.0})
    assert comparison.critical_difference(4, 30) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 30)), abs=1e-3)
    assert comparison.critical_difference(10, 50) == pytest.approx(3.164 * np.sqrt(10 * 11 / (6 * 50)), abs=1e-3)


def test_ranks_equal_a_plain_count() -> None:
    random = np.random.default_rng(4)
    queries = made_up_queries().assign(ap=lambda rows: random.random(len(rows)))
    ranks, _ = comparison.mean_ranks(queries, 16)
    ap = queries.groupby(["query", "method"])["ap"].mean().unstack()
    for method in METHODS:
        slow = [1 + sum(other > row[method] for other in row) for _, row in ap.iterrows()]
        assert ranks[method] == pytest.approx(np.mean(slow))


def test_groups_that_do_not_differ() -> None:
    assert comparison._cliques(np.array([1.0, 1.4, 2.0, 5.0]), 0.7) == [(0, 1), (1, 2)]
    assert comparison._cliques(np.array([1.0, 1.1, 1.2]), 1.0) == [(0, 2)]
    assert comparison._cliques(np.array([1.0, 9.0]), 1.0) == []


def test_critical_differences(printed: Printed) -> None:
    _, alt = printed(comparison.critical_differences, made_up_queries(), [16, 64])
    assert alt == "Mean ranks of the methods, 1 is best: at 16 bits ITQ leads with 1.25, ours is number 3."
    printed(comparison.critical_differences, made_up_queries().iloc[:0], [16])


def test_verdicts(printed: Printed) -> None:
    rows = [
        ("b", 16, "dsh", 0.05, "win"),
        ("b", 64, "dsh", -0.04, "loss"),
        ("b", 16, "itq", 0.001, "tie"),
        ("b", 16, "odd", 1, "win"),
    ]
    table = pd.DataFrame(rows, columns=["benchmark", "bits", "method", "difference", "verdict"])
    figure, alt = printed(comparison.verdicts, table)
    assert alt == "Difference in mAP, ours less each of 2 methods: 1 wins, 1 ties, 1 losses after Holm's correction."
    assert {"+0.050", "−0.040", "+0.001"} <= {text.get_text() for text in figure.axes[0].texts}
    printed(comparison.verdicts, table.iloc[:0])


def test_ablations_from_the_worst_to_the_best(printed: Printed) -> None:
    rows = [
        ("b", "linear", -0.1, -0.2, -0.05, 0.01),
        ("b", "no_batch_norm", 0.02, -0.1, 0.1, 1.0),
        ("c", "linear", -0.2, -0.3, 0, 0.2),
    ]
    table = pd.DataFrame(rows, columns=["benchmark", "ablation", "difference", "low", "high", "p_holm"])
    figure, alt = printed(comparison.ablation_bars, table)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["linear", "no batch norm"]
    assert alt.startswith("2 ablations: worst on average linear (-0.150), best no batch norm (+0.020); 1 of 3 differences count")
    printed(comparison.ablation_bars, table.iloc[:0])
