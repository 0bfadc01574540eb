"""The scripts that measure: their slow references and their arithmetic, by hand; the page is that of the reports."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from bcdh_lib.core.codes import pack
from bcdh_lib.params import Params
from bcdh_lib.study import find_root

ROOT = find_root()


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"performance_{name}", ROOT / f"performance/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its types
    spec.loader.exec_module(module)
    return module


metrics, step, table = (script(name) for name in ("metrics", "step", "table"))


def test_the_page_is_that_of_the_reports():
    written = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert written == table.page(ROOT / "performance", ROOT / "reports"), "make it anew: python performance/table.py"


def test_a_page_by_hand(tmp_path, monkeypatch):
    """A script without a report is named; one that writes none has no section; figures are told and tabled."""
    (tmp_path / "speed.py").write_text('"""How fast.\n\n    python speed.py\n\nWrites reports/speed.json."""\n')
    (tmp_path / "later.py").write_text('"""How slow.\n\nWrites reports/later.json."""\n')
    (tmp_path / "helper.py").write_text('"""Helps."""\n')
    figures = {"n": 12000, "load": None, "deep": {"s": 0.5, "same": True}, "rows": [{"a": 1, "b": "x"}, {"a": 2, "c": 3.25}]}
    (tmp_path / "speed.json").write_text(json.dumps(figures))
    monkeypatch.setitem(table.SAID, "speed", "{deep[s]:.0%} of {n:,}.")
    _, later, speed = table.page(tmp_path, tmp_path).split("\n## ")
    assert later == "later\n\nHow slow.\n\nWrites reports/later.json.\n\nNot measured yet.\n"
    assert speed.splitlines() == [
        *["speed", "", "How fast.", "", "    python speed.py", "", "Writes reports/speed.json.", "", "50% of 12,000.", ""],
        *["| figure | value |", "| --- | --- |", "| n | 12,000 |", "| load |  |", "| deep: s | 0.5 |", "| deep: same | True |"],
        *["", "rows:", "", "| a | b | c |", "| --- | --- | --- |", "| 1 | x |  |", "| 2 |  | 3.25 |"],
    ]


def test_map_by_hand():
    """Distances 0, 1, 2, 3 with the positives first and third: (1 + 2/3) / 2."""
    signs = np.ones((4, 8))
    for row in range(4):
        signs[row, :row] = -1
    case = metrics.Case(pack(signs[:1]), np.array([5]), pack(signs), np.array([5, 0, 5, 0]))
    assert metrics.ours(case) == pytest.approx(5 / 6)
    assert metrics.plain(case) == pytest.approx(5 / 6)


def test_the_plain_map_lies_within_the_ties_and_blocks_change_nothing():
    case = metrics.draw(20, 400)
    worst, expected, best = (metrics.ours(case, order) for order in ("worst", "expected", "best"))
    assert worst < expected < best
    assert worst <= metrics.plain(case) <= best
    assert metrics.ours(case, block=7) == pytest.approx(expected)
    assert (metrics.draw(3, 50).queries == case.queries[:3]).all()


def test_queries_without_positives_leave_both_means():
    case = metrics.draw(4, 60)
    asked = metrics.Case(case.queries, np.where(np.arange(4) < 2, case.query_labels, metrics.CLASSES), case.database, case.labels)
    first = metrics.Case(case.queries[:2], case.query_labels[:2], case.database, case.labels)
    assert metrics.ours(asked) == pytest.approx(metrics.ours(first))
    assert metrics.plain(asked) == pytest.approx(metrics.plain(first))


def scale(params: Params, **network) -> Params:
    training = params.training.model_copy(update={"rounds": 3, "steps_per_round": 10, "runs": params.training.runs[:2]})
    return params.model_copy(update={"training": training, "network": params.network.model_copy(update=network)})


def test_hours_by_hand(params):
    """Two runs, each of 3 rounds of 10 steps of 36 s and mining of 40 s, and of 4 looks: 100 photos of 1 s, validated in 60 s."""
    seconds = 3 * (360 + 40) + 4 * 160
    cost = step.hours(scale(params, start="random"), 100, step_s=36, encode_s=1, mine_s=40, validate_s=60)
    assert cost == {"run_h": round(seconds / 3600, 2), "all_runs_h": round((2 * seconds + 100) / 3600, 1)}
    better = step.hours(scale(params, start="best"), 100, step_s=36, encode_s=1, mine_s=40, validate_s=60)
    assert better["run_h"] == round((seconds + 120) / 3600, 2)


def test_memory_by_hand(params):
    """A million photos of 64 x 64 px in two views; where blocks are frozen, their activations, of 192 x 2 x 2 floats."""
    whole = step.make_network(scale(params, frozen_blocks=0))
    assert step.memory_of(params, whole, 10**6) == pytest.approx(24.576)
    frozen = step.make_network(params)
    assert step.memory_of(params, frozen, 10**6) == pytest.approx(6.144)


def test_a_small_scale_is_measured(params):
    """A row a backbone, the file's own sizes, and a step of fewer tuples that stands for the whole batch."""
    figures = step.measure(scale(params), ["efficientnet_lite0"], tuples=2, photos=300, validation=160, pairs=50, times=1)
    assert (figures["photos_a_step"], figures["photos_timed"], figures["runs"], figures["published"]) == (16, 8, 2, [])
    (row,) = figures["measured"]
    told = {name: figures[name] for name in ("mine_s", "validate_s")}
    assert step.hours(scale(params), 300, row["step_s"], row["encode_ms"] / 1e3, **told) == {
        name: row[name] for name in ("run_h", "all_runs_h")
    }
    assert row["step_s"] > 0
    training_set, outputs = step.stand_in(300, 50, 16)
    assert (~training_set.train).sum() == step.ASKED
    assert outputs.shape == (300, 16)
