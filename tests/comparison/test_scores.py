"""What write_metrics, best_rival and verdict say, on made-up tables."""

import json

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison.scores import best_rival, verdict, write_metrics
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.report.headline import read_metrics
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.codes import code_outputs
from bcdh_lib.retrieval.score import score_codes
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study


def test_the_metrics_file_is_of_the_form_that_the_site_reads(tmp_path, params):
    """From the table on disk, where code lengths and nulls share a column, to metrics.json and its strict reader."""
    study = Study(tmp_path, params)
    for name in ("photos", "left_out"):
        write_table(study.photos, name, TABLES[name].schema.empty_table().to_pandas())
    for folder, counts in (
        (study.reconstruction, {"models": 2, "registered": 9}),
        (study.pairs, {"similar_pairs": 5, "dissimilar_pairs": 7}),
    ):
        write_bytes(folder / "summary.json", json.dumps(counts).encode())
    benchmark = Benchmark("made_up", {"a": tmp_path, "b": tmp_path}, [Query("q", "a", None, frozenset("b"), frozenset("a"))])
    outputs = np.ones((2, 8), np.float32)
    tables = [
        score_codes(study, benchmark, System(method, bits), code_outputs(outputs[:1], outputs, bits))
        for method, bits in (("dsh", 8), ("float", None))
    ]
    write_table(study.reports, "queries", pd.concat(tables))
    write_metrics(study)
    metrics = read_metrics(study.reports / "metrics.json")
    assert {(score.method, score.bits) for score in metrics.retrieval} == {("dsh", 8), ("float", None)}
    assert metrics.counts["models"] == 2


def test_the_best_rival_leads_over_all_benchmarks_and_is_not_ours():
    columns = ["benchmark", "method", "bits", "map"]
    rows = [
        ("a", "binary_constrained", 64, 0.9),
        ("a", "dsh", 64, 0.5),
        ("a", "itq", 64, 0.6),
        ("a", "float", None, 0.95),
        ("a", "lsh", 32, 0.8),
    ]
    rows += [("b", "binary_constrained", 64, 0.9), ("b", "dsh", 64, 0.5), ("b", "itq", 64, 0.3), ("b", "float", None, 0.95)]
    summary = pd.DataFrame(rows, columns=columns).astype({"bits": "Int32"})
    assert best_rival(summary) == "dsh"
    assert best_rival(summary, 32) == "lsh"
    with pytest.raises(ValueError, match="no method but ours has codes of 16 bits"):
        best_rival(summary, 16)


def test_the_verdict_says_where_ours_stands():
    summary = pd.DataFrame(
        {"benchmark": "made_up", "method": ["dsh", "binary_constrained", "float"], "bits": [64, 64, None], "map": [0.6, 0.5, 0.7]}
    )
    said = verdict(summary)
    assert "number 2 of 2 at 64 bits" in said
    assert "dsh 0.600" in said
    assert "float 0.700" in said
