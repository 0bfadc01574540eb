"""The study's figures put together: what it was made of and how well each system retrieves, for the report and for DVC."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from bcdh_lib.params import run_name
from bcdh_lib.retrieval import OURS, score, summarise
from bcdh_lib.study import Study
from bcdh_lib.tables import read_table, write_bytes, write_json


def score_all(study: Study) -> pd.DataFrame:
    """Score every system on every benchmark from its codes; returns the summary of retrieval.summarise.

    Writes the table `queries`, and under reports/: map.csv (the summary), curves.csv (precision-recall), map.json (mAP alone).
    """
    queries, curves = score(study)
    summary = summarise(queries)
    write_bytes(study.reports / "map.csv", summary.to_csv(index=False, float_format="%.6f").encode())
    write_bytes(study.reports / "curves.csv", curves.to_csv(index=False, float_format="%.6f").encode())
    nested: dict[str, dict[str, float]] = {}
    for row in summary.itertuples():
        name = run_name(row.method, None if pd.isna(row.bits) else row.bits)
        nested.setdefault(row.benchmark, {})[name] = round(row.map, 6)
    write_json(study.reports / "map.json", nested, indent=1)
    return summary


def write_metrics(study: Study) -> dict[str, Any]:
    """Write and return reports/metrics.json: counts of the whole study and the scores of every system."""
    reconstruction = json.loads((study.reconstruction / "summary.json").read_text())
    pairs = json.loads((study.pairs / "summary.json").read_text())
    counts = {
        "photos": len(read_table(study.photos, "photos")),
        "left_out": len(read_table(study.photos, "left_out")),
        "models": reconstruction["models"],
        "registered": reconstruction["registered"],
        "pairs": pairs["similar_pairs"],
        "dissimilar_pairs": pairs["dissimilar_pairs"],
    }
    summary = summarise(read_table(study.reports, "queries"))
    columns = ["benchmark", "method", "bits", "map", "map_best", "map_worst", "map_rectangle"]
    scores = json.loads(summary[columns].to_json(orient="records", double_precision=6))
    metrics = {"counts": counts, "retrieval": scores}
    write_json(study.reports / "metrics.json", metrics, indent=1)
    return metrics


def table_of(summary: pd.DataFrame, value: str = "map") -> pd.DataFrame:
    """One figure of the summary as a table: a row a method and code length, a column a benchmark."""
    named = summary.assign(bits=summary["bits"].map(lambda bits: "real" if pd.isna(bits) else str(bits)))
    order = named[["method", "bits"]].drop_duplicates().apply(tuple, axis=1)
    return named.pivot(index=["method", "bits"], columns="benchmark", values=value).loc[list(order)].round(3)


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
