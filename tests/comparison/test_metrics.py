"""The figures of one run put together: read back by the site's strict reader, and sentences by hand."""

import json

import numpy as np
import pandas as pd

from bcdh_lib.comparison.metrics import verdict, write_metrics
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import code_outputs
from bcdh_lib.retrieval.score import score_codes
from bcdh_lib.retrieval.systems import System

SUMMARY = pd.DataFrame(
    [
        ("b", "binary_constrained", 64, "hamming", 0.5),
        ("b", "binary_constrained", 64, "asymmetric", 0.8),
        ("b", "dsh", 64, "hamming", 0.6),
        ("b", "itq", 64, "hamming", 0.4),
        ("b", "itq", 64, "asymmetric", 0.9),
        ("b", "float", None, "cosine", 0.7),
    ],
    columns=["benchmark", "method", "bits", "scoring", "map"],
).astype({"bits": "Int32"})


def test_verdict_compares_plain_figures():
    sentence = verdict(SUMMARY, 64)
    assert "number 2 of 3" in sentence
    assert "float 0.700" in sentence


def test_the_metrics_file_is_of_the_form_that_the_site_reads(study, tmp_path):
    """From the table on disk, where code lengths and nulls share a column, to metrics.json and its strict reader."""
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
    metrics = json.loads((study.reports / "metrics.json").read_text())
    assert {(score["method"], score["bits"]) for score in metrics["retrieval"]} == {("dsh", 8), ("float", None)}
    assert metrics["counts"]["models"] == 2
