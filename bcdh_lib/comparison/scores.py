"""The study's figures put together: what it was made of and how well each system retrieves, for the report and for DVC."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_json, write_bytes, write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import run_name
from bcdh_lib.retrieval.benchmarks import FORMS
from bcdh_lib.retrieval.score import OURS, score, summarise
from bcdh_lib.study import Study


def score_all(study: Study) -> pd.DataFrame:
    """Score every system on every benchmark from its codes; returns the summary of retrieval.summarise.

    Writes the table `queries`, and under reports/: map.csv (the summary), curves.csv (precision-recall), and scores.json, what
    `dvc metrics` follows: few figures, so that a difference is read at a glance.
    """
    queries, curves = score(study)
    summary = summarise(queries)
    write_bytes(study.reports / "map.csv", summary.to_csv(index=False, float_format="%.6f").encode())
    write_bytes(study.reports / "curves.csv", curves.to_csv(index=False, float_format="%.6f").encode())
    write_json(study.reports / "scores.json", mean_scores(summary, {run.name for run in study.params.training.runs}), indent=1)
    for line in revisited_lines(summary):
        print(line)
    return summary


def mean_scores(summary: pd.DataFrame, names: Collection[str]) -> dict[str, dict[str, float]]:
    """The mAP and the recall inside the Hamming radius of each system named, their means over the summary's benchmarks.

    A system without a figure on any benchmark (no radius is around real vectors) is left out.
    """
    bits = [None if pd.isna(bits) else int(bits) for bits in summary["bits"]]
    systems = pd.Series(map(run_name, summary["method"], bits), summary.index)
    means = summary.groupby(systems, sort=False)[["map", "recall_in_radius"]].mean().round(6)
    return {figure: {name: value for name, value in column.dropna().items() if name in names} for figure, column in means.items()}


def revisited_lines(summary: pd.DataFrame) -> list[str]:
    """ROxford's and RParis' figures in %, a line a system, in the form in which the revisited program prints them.

    mAP is the program's (trapezoid), expected over ties. mP@k is the share of positives among the first k photos, junk dropped,
    expected over ties. The program (compute_map) divides not by k but by min(k, rank of the query's last positive): its figure is
    the higher one where a query has fewer than k positives and all of them rank before the k-th photo, and equal elsewhere.
    """
    lines = []
    for collection in FORMS["revisited"].published:
        protocols = [f"{collection}_{variant}" for variant in FORMS["revisited"].variants]
        scored = summary[summary["benchmark"].isin(protocols)]
        for (method, bits), rows in scored.groupby(["method", "bits"], dropna=False, sort=False):
            percent = 100 * rows.set_index("benchmark")[["map", "p_at_1", "p_at_5", "p_at_10"]]
            found = [(name.removeprefix(f"{collection}_")[0].upper(), percent.loc[name]) for name in percent.index]
            maps = ", ".join(f"{letter}: {row['map']:.2f}" for letter, row in found)
            precisions = ", ".join(f"{letter}: [{' '.join(f'{value:.2f}' for value in row.iloc[1:])}]" for letter, row in found)
            system = run_name(str(method), None if pd.isna(bits) else int(bits))
            lines.append(f">> {collection}, {system}: mAP {maps}; mP@k[1 5 10] {precisions}")
    return lines


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
    summary = summarise(read_table(study.reports, "queries"))
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


def table_of(summary: pd.DataFrame, value: str = "map") -> pd.DataFrame:
    """One figure of the summary as a table: a row a method and code length, a column a benchmark."""
    named = summary.assign(bits=summary["bits"].map(lambda bits: "real" if pd.isna(bits) else str(bits)))
    order = named[["method", "bits"]].drop_duplicates().apply(tuple, axis=1)
    return named.pivot(index=["method", "bits"], columns="benchmark", values=value).loc[list(order)].round(3)


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
