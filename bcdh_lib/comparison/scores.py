"""The study's figures put together: what it was made of and how well each system retrieves, for the report and for DVC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_json, write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.retrieval.score import OURS, plain, summarise, table_of
from bcdh_lib.study import Study


def write_metrics(study: Study) -> dict[str, Any]:
    """Write and return reports/metrics.json: counts of the whole study and the scores of every system."""
    models, registered = _counts(study.reconstruction, "models", "registered")
    pairs, dissimilar_pairs = _counts(study.pairs, "similar_pairs", "dissimilar_pairs")
    counts = {
        "photos": len(read_table(study.photos, "photos")),
        "left_out": len(read_table(study.photos, "left_out")),
        "models": models,
        "registered": registered,
        "pairs": pairs,
        "dissimilar_pairs": dissimilar_pairs,
    }
    summary = summarise(plain(read_table(study.reports, "queries")))
    columns = ["benchmark", "method", "bits", "map", "map_best", "map_worst", "map_rectangle"]
    scores = json.loads(summary[columns].to_json(orient="records", double_precision=6))
    metrics = {"counts": counts, "retrieval": scores}
    write_json(study.reports / "metrics.json", metrics, indent=1)
    return metrics


def _counts(folder: Path, *names: str) -> list[int]:
    """Counts of a step's summary, by their names. Raises StudyError."""
    summary = read_json(folder / "summary.json")
    for name in names:
        if not isinstance(summary.get(name), int):
            raise StudyError(f"{folder / 'summary.json'}: {name} is no count; make it with: dvc repro {folder.name}")
    return [summary[name] for name in names]


def best_rival(summary: pd.DataFrame, bits: int = 64) -> str:
    """The method other than ours whose codes of `bits` bits have the highest mAP, mean over the benchmarks; the first of equals.

    Raises ValueError where there is none.
    """
    others = summary[(summary["bits"] == bits) & (summary["method"] != OURS)]
    if others.empty:
        raise ValueError(f"no method but ours has codes of {bits} bits; add one to training.runs")
    return str(others.groupby("method", sort=False)["map"].mean().idxmax())


def verdict(summary: pd.DataFrame, bits: int = 64) -> str:
    """In a sentence a benchmark: where ours stands among the systems of `bits` bits, and against the float parent."""
    return "\n".join(_verdict_on(str(name), rows, bits) for name, rows in summary.groupby("benchmark", sort=False))


def _verdict_on(benchmark: str, rows: pd.DataFrame, bits: int) -> str:
    value = rows[rows["bits"] == bits].set_index("method")["map"].sort_values(ascending=False)
    real = rows[rows["bits"].isna()].set_index("method")["map"]
    place = list(value.index).index(OURS) + 1
    others = ", ".join(f"{method} {score:.3f}" for method, score in value.drop(OURS).items())
    parents = ", ".join(f"{method} {score:.3f}" for method, score in real.items())
    ours = f"{benchmark}: ours is number {place} of {len(value)} at {bits} bits, mAP {value[OURS]:.3f}"
    return f"{ours} ({others}); real vectors: {parents}."


__all__ = ["best_rival", "table_of", "verdict", "write_metrics"]
