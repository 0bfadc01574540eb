"""The headline table, from a hand-worked metrics.json and from ones that are not of the form."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.headline import (
    BESIDE,
    MARKS,
    Cell,
    beside_in_words,
    headline,
    markdown,
    read_beside,
    read_mean,
    read_metrics,
)
from bcdh_lib.study import find_root


def score(benchmark: str, method: str, bits: int | None, value: float, slack: float = 0.0) -> dict[str, Any]:
    bounds = {"map": value, "map_best": value + slack, "map_worst": value - slack, "map_rectangle": value}
    return {"benchmark": benchmark, "method": method, "bits": bits, **bounds}


def written(tmp_path: Path, retrieval: list[dict[str, Any]], counts: dict[str, Any] | None = None) -> Path:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"counts": counts or {}, "retrieval": retrieval, "further": 1}))
    return path


def test_table_worked_by_hand_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    scores = [
        score("oxford", "float", None, 0.7),
        score("oxford", "dsh", 64, 0.5, slack=0.1),
        score("oxford", "binary_constrained", 64, 0.6, slack=0.02),
        score("holidays", "binary_constrained", 16, 0.3),
        score("holidays", "a_new_loss", 64, 0.2),
    ]
    table = headline(read_metrics(written(tmp_path, scores)))

    assert table.benchmarks == ["oxford", "holidays"]
    assert [(row.label, row.bits, row.ours) for row in table.rows] == [
        ("Binary constrained (ours)", 16, True),
        ("Binary constrained (ours)", 64, True),
        ("DSH", 64, False),
        ("Float parent", None, False),
        ("a_new_loss", 64, False),
    ]
    assert [row.cells for row in table.rows] == [
        [None, Cell("0.300", "", best=False)],  # the only one at 16 bits: nothing to be the best of
        [Cell("0.600", "0.580 to 0.620", best=True), None],
        [Cell("0.500", "0.400 to 0.600", best=False), None],
        [Cell("0.700", "", best=False), None],
        [None, Cell("0.200", "", best=False)],
    ]


def test_counts_come_in_the_pipelines_order_and_unknown_ones_last(tmp_path: Path) -> None:
    path = written(tmp_path, [score("oxford", "dsh", 64, 0.5)], {"flat_tyres": 2, "pairs": 9, "photos": 4})
    assert read_metrics(path).labelled_counts == [("photos in the pile", 4), ("similar pairs", 9), ("flat tyres", 2)]


@pytest.mark.parametrize(
    ("retrieval", "fault"),
    [
        ([], "retrieval: "),
        ([{**score("oxford", "dsh", 64, 0.5), "map": 61}], "retrieval.0.map: "),
        ([{**score("oxford", "dsh", 64, 0.5), "bits": "64"}], "retrieval.0.bits: "),
        ([{**score("oxford", "dsh", 64, 0.5), "map_best": 0.4}], "retrieval.0: map lies outside map_worst to map_best"),
        ([{"benchmark": "oxford"}], "retrieval.0.method: Field required"),
        ([score("oxford", "dsh", 64, 0.5)] * 2, "('oxford', 'dsh', 64) stands there more than once"),
    ],
)
def test_another_form_is_named_in_one_line(tmp_path: Path, retrieval: list[dict[str, Any]], fault: str) -> None:
    path = written(tmp_path, retrieval)
    with pytest.raisesStudyError as raised:
        read_metrics(path)
    assert fault in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_no_metrics_are_no_headline(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(StudyError, match="dvc repro"):
        read_metrics(tmp_path / "metrics.json")


MEAN = pd.DataFrame(
    [
        ("dsh", 16, 2, 0.3, 0.35, 0.5, 1, 2, 0),
        ("dsh", 64, 2, 0.5, 0.5, 0.71, 0, 1, 2),
        ("binary_constrained", 16, 2, 0.4, 0.42, 0.57, None, None, None),
        ("binary_constrained", 64, 2, 0.45, 0.45, 0.64, None, None, None),
        ("itq", 16, 2, 0.35, 0.35, 0.5, 3, 0, 0),
        ("pretrained_itq", 16, 2, 0.9, 0.9, 1.2, 0, 0, 3),
        ("float", None, 2, 0.7, 0.71, 1.0, None, None, None),
    ],
    columns=["method", "bits", "seeds", "map", "high", "share_of_float", "win", "tie", "loss"],
)


def test_the_comparison_over_seeds_by_hand() -> None:
    """Codes of other vectors than the float parent's are left to the tables; the best of a length is bold."""
    words, _, *table = markdown(MEAN).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert "**Ours has the highest mean at 16 bits; first are DSH at 64 bits.**" in words
    assert "has 1 wins, 3 ties and 2 losses against the other losses, has 3 wins, 0 ties and 0 losses against shallow" in words
    assert "At 64 bits it keeps 64% of the float parent's mAP, the best other code 71%." in words
    assert table == [
        "| mAP | 16 bits | 64 bits | real vectors |",
        "| --- | --- | --- | --- |",
        "| **Binary constrained (ours)** | **0.400 ± 0.020** | 0.450 |  |",
        "| DSH | 0.300 ± 0.050 | **0.500** |  |",
        "| Float parent |  |  | 0.700 ± 0.010 |",
        "| ITQ | 0.350 |  |  |",
    ]


def test_no_comparison_over_seeds_or_one_of_another_form(tmp_path: Path) -> None:
    assert read_mean(tmp_path) is None
    (tmp_path / "reports/study").mkdir(parents=True)
    (tmp_path / "reports/study/mean.csv").write_text("method,bits\n")
    with pytest.raises(StudyError, match=r"mean\.csv: is not readable .*git checkout"):
        read_mean(tmp_path)


def test_the_readme_tells_the_committed_figures(tmp_path: Path) -> None:
    """What stands in README.md between its marks is what the tables of reports/study, as committed, give."""
    root = find_root()
    (tmp_path / "reports/study").mkdir(parents=True)
    for name in ("mean", *BESIDE):
        committed = subprocess.run(
            ["git", "show", f"HEAD:reports/study/{name}.csv"], cwd=root, capture_output=True, check=True
        ).stdout
        (tmp_path / f"reports/study/{name}.csv").write_bytes(committed)
    told = (root / "README.md").read_text(encoding="utf-8").split(MARKS[0])[1].split(MARKS[1])[0]
    assert told.strip() == markdown(read_mean(tmp_path), read_beside(tmp_path))


def test_beside_in_words() -> None:
    """By hand: ours .5, the best of two other losses .4, the best shallow code .6; verdicts summed by kind."""
    table = pd.DataFrame(
        {
            "method": ["binary_constrained", "dsh", "dch", "itq", "lsh", "float"],
            "bits": [8, 8, 8, 8, 8, None],
            "seeds": 2,
            "map": [0.5, 0.4, 0.3, 0.6, 0.1, 0.9],
            "win": [None, 1, 2, 0, 3, None],
            "tie": [None, 2, 1, 1, 0, None],
            "loss": [None, 0, 0, 2, 0, None],
        }
    )
    said = beside_in_words("Started elsewhere", table)
    assert said.startswith("Started elsewhere (2 seeds)")
    assert "(2 seeds), ours has 0.500 at 8 bits, the best other loss 0.400, the best shallow code of the parent 0.600;" in said
    assert said.endswith("3 wins, 3 ties and 0 losses against the losses, has 3 wins, 1 ties and 2 losses against shallow codes.")
