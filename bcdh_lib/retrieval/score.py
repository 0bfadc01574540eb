"""From codes to scores: queries.parquet, one row a query, system and scoring, and the summaries of it.

A scoring is a way to compare queries with the database. They are never mixed: a table has them in the column `scoring`.

    hamming      codes as they are, by Hamming distance
    cosine       real vectors (bits null), by inner product
    recentred    codes about the mean output of the database, by Hamming distance
    asymmetric   the queries' real outputs against the database's recentred codes
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.core.codes import asymmetric_distances, distances, hamming, pack
from bcdh_lib.core.files import write_bytes, write_json
from bcdh_lib.core.metrics import Ties, average_precision, precision_at, precision_at_recall, recall_within, ties_of_distances
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.params import run_name
from bcdh_lib.retrieval.benchmarks import Benchmark, benchmark_folder, read_benchmarks
from bcdh_lib.retrieval.codes import BenchmarkCodes, read_codes, write_codes
from bcdh_lib.retrieval.systems import System, systems
from bcdh_lib.study import Study, computes

HAMMING, COSINE, RECENTRED, ASYMMETRIC = "hamming", "cosine", "recentred", "asymmetric"
RECALLS = np.linspace(0.05, 1, 20)
KEYS = ["benchmark", "method", "bits", "scoring"]


def _inputs(study: Study) -> list[Path]:
    """The files that the retrieval step reads."""
    folders = [benchmark_folder(study, name) for name in study.params.retrieval.benchmarks]
    return [study.photos / "photos.parquet", study.pairs / "members.parquet", study.checkpoints, *folders]


@computes("retrieval", inputs=_inputs)
def score_all(study: Study) -> None:
    """The retrieval step: encode every benchmark by every system, then score the codes. Raises StudyError."""
    write_codes(study)
    score(study)


def score(study: Study) -> None:
    """Score every system's codes on every benchmark.

    Writes the table `queries`, and under reports/: map.csv (its summary), curves.csv (precision at each recall of RECALLS, mean
    over queries, plain scorings) and scores.json (a few means, which `dvc metrics` compares).
    """
    rows, curves = [], []
    for benchmark in read_benchmarks(study):
        for system in systems(study):
            codes = read_codes(study, benchmark, system)
            rows.append(score_codes(study, benchmark, system, codes))
            _, ties = next(rankings(benchmark, codes))
            precision = np.nanmean(precision_at_recall(ties, RECALLS), axis=0)
            curves.append(pd.DataFrame({"benchmark": benchmark.name, **vars(system), "recall": RECALLS, "precision": precision}))
    queries = pd.concat(rows, ignore_index=True)
    write_table(study.reports, "queries", queries)
    summary = summarise(queries)
    for name, table in (("map", summary), ("curves", pd.concat(curves))):
        write_bytes(study.reports / f"{name}.csv", table.to_csv(index=False, float_format="%.6f").encode())
    runs = {run.name for run in study.params.training.runs}
    write_json(study.reports / "scores.json", mean_scores(summary, runs), indent=1)


def read_summary(study: Study) -> pd.DataFrame:
    """The summary of every scored query, as in reports/map.csv. Raises StudyError."""
    return summarise(read_table(study.reports_of("retrieval"), "queries"))


def rankings(benchmark: Benchmark, codes: BenchmarkCodes) -> Iterator[tuple[str, Ties]]:
    """Every scoring that these codes or vectors have, the plain one first, and the rankings by it, after the junk rule."""
    found: dict[str, NDArray] = {COSINE: distances(codes.queries, codes.database)}
    if codes.recentred_database is not None and codes.centred_queries is not None:
        found = {
            HAMMING: found[COSINE],
            RECENTRED: hamming(pack(codes.centred_queries), codes.recentred_database),
            ASYMMETRIC: asymmetric_distances(codes.centred_queries, codes.recentred_database),
        }
    positive, junk = benchmark.positive(), benchmark.junk()
    for scoring, apart in found.items():
        yield scoring, ties_of_distances(apart, positive, junk)


def score_codes(study: Study, benchmark: Benchmark, system: System, codes: BenchmarkCodes) -> pd.DataFrame:
    """Rows of the table `queries` of one system on one benchmark, by every scoring."""
    tables = []
    for scoring, ties in rankings(benchmark, codes):
        rows = {
            "benchmark": benchmark.name,
            "method": system.method,
            "bits": pd.Series([system.bits] * len(benchmark.queries), dtype="Int32"),
            "seed": study.params.run.seed,
            "scoring": scoring,
            "query": [query.name for query in benchmark.queries],
            "group": [query.group for query in benchmark.queries],
            "positives": ties.positives,
            "ap": average_precision(ties, "trapezoid"),
            "ap_best": average_precision(ties, "trapezoid", "best"),
            "ap_worst": average_precision(ties, "trapezoid", "worst"),
            "ap_rectangle": average_precision(ties, "rectangle"),
            **{f"p_at_{k}": precision_at(ties, k) for k in (1, 5, 10)},
            "recall_in_radius": np.nan,
        }
        if scoring in (HAMMING, RECENTRED):
            rows["recall_in_radius"] = recall_within(ties, study.params.retrieval.radius)
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)


def summarise(queries: pd.DataFrame) -> pd.DataFrame:
    """Means over the queries with positives, a row a benchmark, system and scoring; `empty` counts the queries without."""
    queries = queries.assign(bits=queries["bits"].astype("Int32"))  # pandas reads a column with nulls as real numbers
    figures = queries[queries["positives"] > 0].drop(columns=["query", "group", "seed", "positives"])
    means = figures.groupby(KEYS, dropna=False, sort=False).mean().reset_index()
    means = means.rename(columns={column: column.replace("ap", "map", 1) for column in means if column.startswith("ap")})
    counts = queries.groupby(KEYS, dropna=False, sort=False)["positives"].agg(queries="size", empty=lambda p: int((p == 0).sum()))
    return means.merge(counts.reset_index(), on=KEYS)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of codes by Hamming distance and of real vectors by cosine."""
    return table[table["scoring"].isin([HAMMING, COSINE])]


def table_of(summary: pd.DataFrame) -> pd.DataFrame:
    """mAP by one scoring: a row a method and code length, in the summary's order, a column a benchmark."""
    named = summary.assign(bits=summary["bits"].map(lambda bits: "real" if pd.isna(bits) else str(bits)))
    return named.pivot_table(index=["method", "bits"], columns="benchmark", values="map", sort=False).round(3)


def mean_scores(summary: pd.DataFrame, names: Collection[str]) -> dict[str, dict[str, dict[str, float]]]:
    """mAP by scoring, and recall inside the Hamming radius, of each system named; means over the benchmarks.

    {"map": {scoring: {system: value}}, "recall_in_radius": {scoring: {system: value}}}; figures that nothing has are left out.
    """
    bits = [None if pd.isna(bits) else int(bits) for bits in summary["bits"]]
    named = summary.assign(system=list(map(run_name, summary["method"], bits)))
    named = named[named["system"].isin(names)]
    means = named.groupby(["scoring", "system"], sort=False)[["map", "recall_in_radius"]].mean().round(6)
    scores: dict[str, dict[str, dict[str, float]]] = {figure: {} for figure in means}
    for figure, column in means.items():
        for (scoring, name), value in column.dropna().items():
            scores[str(figure)].setdefault(scoring, {})[name] = value
    return scores
