"""From codes on disk to scores: by hand on a made-up benchmark, and codes that do not fit."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bcdh_lib.comparison.scores import best_rival, mean_scores, revisited_lines, table_of, verdict, write_metrics
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.report.headline import read_metrics
from bcdh_lib.retrieval import scales
from bcdh_lib.retrieval import score as retrieval
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.score import System, load_codes, query_rows, score, summarise, systems, ties_on, write_codes
from bcdh_lib.study import Study


@pytest.fixture
def study(tmp_path, params):
    return Study(tmp_path, params)


@pytest.fixture
def benchmark(tmp_path):
    photos = {name: tmp_path / f"{name}.jpg" for name in "abcd"}
    queries = [Query("q", "a", None, frozenset("bc"), frozenset("a")), Query("r", "d", None, frozenset(), frozenset("d"))]
    return Benchmark("made_up", photos, queries)


def save(study, system, queries, database):
    folder = study.codes / "made_up"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{system.name}.queries.npy", queries)
    np.save(folder / f"{system.name}.database.npy", database)


def test_scores_by_hand(study, benchmark):
    """From q: b at distance 0, d at 1, c at 3 bits; a is the query itself. Rectangle (1 + 2/3) / 2; r has no positive."""
    system = System("dsh", 8)
    database = np.array([[0], [0], [0b111], [0b1]], dtype=np.uint8)
    save(study, system, np.zeros((2, 1), np.uint8), database)
    rows = query_rows(study, benchmark, system, ties_on(study, benchmark, system))
    assert rows["ap_rectangle"].iloc[0] == pytest.approx((1 + 2 / 3) / 2)
    assert rows["ap"].iloc[0] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert rows["recall_in_radius"].iloc[0] == 0.5
    assert np.isnan(rows["ap"].iloc[1])
    write_table(study.reports, "queries", rows)
    summary = summarise(rows)
    assert summary["map"].item() == rows["ap"].iloc[0]
    assert summary[["queries", "empty"]].to_numpy().tolist() == [[2, 1]]


def test_real_vectors_are_ranked_by_distance(study, benchmark):
    system = System("float", None)
    turn = np.array([[np.cos(angle), np.sin(angle)] for angle in (0, 0.3, 0.1, 0.2)], dtype=np.float32)
    save(study, system, turn[[0, 3]], turn)
    rows = query_rows(study, benchmark, system, ties_on(study, benchmark, system))
    assert rows["ap_rectangle"].iloc[0] == pytest.approx((1 + 2 / 3) / 2)
    assert rows["bits"].isna().all()


def test_the_metrics_file_is_of_the_form_that_the_site_reads(study, benchmark):
    """From the table on disk, where code lengths and nulls share a column, to metrics.json and its strict reader."""
    tables = {"photos": study.photos, "left_out": study.photos}
    for name, folder in tables.items():
        write_table(folder, name, TABLES[name].schema.empty_table().to_pandas())
    for folder, counts in (
        (study.reconstruction, {"models": 2, "registered": 9}),
        (study.pairs, {"similar_pairs": 5, "dissimilar_pairs": 7}),
    ):
        write_bytes(folder / "summary.json", json.dumps(counts).encode())
    hashed, real = System("dsh", 8), System("float", None)
    save(study, hashed, np.zeros((2, 1), np.uint8), np.zeros((4, 1), np.uint8))
    save(study, real, np.ones((2, 1), np.float32), np.ones((4, 1), np.float32))
    rows = [query_rows(study, benchmark, system, ties_on(study, benchmark, system)) for system in (hashed, real)]
    write_table(study.reports, "queries", pd.concat(rows))
    write_metrics(study)
    metrics = read_metrics(study.reports / "metrics.json")
    assert {(score.method, score.bits) for score in metrics.retrieval} == {("dsh", 8), ("float", None)}
    assert metrics.counts["models"] == 2


def test_mean_scores_by_hand():
    """(.2 + .4) / 2; one benchmark without a figure; no radius around real vectors; a system that nobody asked for."""
    columns = ["benchmark", "method", "bits", "map", "recall_in_radius"]
    rows = [
        ("one", "dsh", 8, 0.2, 0.5),
        ("one", "float", None, 0.6, None),
        ("one", "lsh", 8, 0.1, 0.1),
        ("two", "dsh", 8, 0.4, None),
        ("two", "float", None, 0.7, None),
    ]
    found = mean_scores(pd.DataFrame(rows, columns=columns).astype({"bits": "Int64"}), {"dsh-8", "float"})
    assert found == {"map": {"dsh-8": 0.3, "float": 0.65}, "recall_in_radius": {"dsh-8": 0.5}}
    assert mean_scores(pd.DataFrame(rows, columns=columns), set()) == {"map": {}, "recall_in_radius": {}}


def test_codes_that_do_not_fit_are_named(study, benchmark):
    system = System("dsh", 8)
    with pytest.raises(StudyError, match=r"dsh-8\.queries\.npy: cannot be read"):
        load_codes(study, benchmark, system)
    for queries in (np.zeros((3, 1), np.uint8), np.zeros((2, 2), np.uint8), np.zeros((2, 1), np.float32)):
        save(study, system, queries, np.zeros((4, 1), np.uint8))
        with pytest.raises(StudyError, match=r"dsh-8\.queries\.npy: holds"):
            load_codes(study, benchmark, system)


def test_what_is_compared(study):
    """100 training photos are enough for ITQ and LSH of 64 bits, too few for 128."""
    members = pd.DataFrame({"photo_id": range(100), "model_id": 0, "group_id": 0, "split": "train"})
    write_table(study.pairs, "members", members)
    names = [system.name for system in systems(study)]
    assert len(set(names)) == len(names)
    assert {"float", "pretrained", "itq-16", "lsh-64", "binary_constrained-128", "dsh-64"} <= set(names)
    assert not {"itq-128", "lsh-128"} & set(names)


@pytest.fixture
def protocols(study, tmp_path, monkeypatch):
    """A benchmark of three protocols over the same four photos and one query outside them, asked of the pretrained network."""
    for place, name in enumerate("abcdq"):
        Image.new("RGB", (40, 30), (50 * place, 90, 200 - 40 * place)).save(tmp_path / f"{name}.jpg")
    photos = {name: tmp_path / f"{name}.jpg" for name in "abcd"}

    def protocol(name, positives, junk):
        query = Query("q", "q", (0, 0, 20, 30), frozenset(positives), frozenset(junk))
        return Benchmark(f"roxford5k_{name}", photos, [query], {"q": tmp_path / "q.jpg"}, "roxford5k")

    three = [protocol("easy", "a", "bd"), protocol("medium", "ab", "d"), protocol("hard", "b", "ad")]
    monkeypatch.setattr(retrieval, "read_benchmarks", lambda study: three)
    monkeypatch.setattr(retrieval, "systems", lambda study: [System(retrieval.PRETRAINED, None)])
    return three


def test_protocols_are_encoded_once_and_scored_each(study, protocols):
    """Codes in one folder, rows a protocol; by the distances of a, b and c (d is junk) to the query."""
    write_codes(study)
    assert sorted(path.relative_to(study.codes).as_posix() for path in study.codes.rglob("*.npy")) == [
        "roxford5k/pretrained.database.npy",
        "roxford5k/pretrained.queries.npy",
    ]
    queries, database = load_codes(study, protocols[0], System(retrieval.PRETRAINED, None))
    a, b, c = np.linalg.norm(database - queries, axis=1)[:3]
    found = score(study)[0].set_index("benchmark")["p_at_1"]
    assert found.to_dict() == {"roxford5k_easy": a < c, "roxford5k_medium": min(a, b) < c, "roxford5k_hard": b < c}


def test_codes_at_scales_stand_beside_the_plain_ones(study, protocols):
    write_codes(study)
    plain = {path: path.read_bytes() for path in study.codes.rglob("*.npy")}
    retrieval_settings = study.params.retrieval.model_copy(update={"scales": [1.0, 0.5]})
    write_codes(Study(study.root, study.params.model_copy(update={"retrieval": retrieval_settings})))
    assert {path: path.read_bytes() for path in plain} == plain
    system = System(retrieval.PRETRAINED, None)
    found = load_codes(study, protocols[0], system, scales.AT_SCALES)[1]
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4))
    assert np.abs(found - load_codes(study, protocols[0], system)[1]).max() > 1e-3


def test_a_broken_photo_stops_before_any_is_encoded(study, protocols, tmp_path, monkeypatch):
    (tmp_path / "d.jpg").write_bytes(b"<html>")
    monkeypatch.setattr(scales, "keep", lambda *_: pytest.fail("a photo was encoded"))
    with pytest.raises(StudyError, match=r"d\.jpg: cannot be read as a photo"):
        write_codes(study)


def test_the_line_of_the_revisited_program():
    """A protocol that was not scored is left out; other benchmarks have no line."""
    rows = [
        ("roxford5k_easy", "dsh", 64, 0.612, 0.9, 0.8, 0.75),
        ("roxford5k_hard", "dsh", 64, 0.201, 0.5, 0.25, 0.125),
        ("roxford5k_easy", "float", None, 1.0, 1.0, 1.0, 0.5),
        ("oxford5k", "dsh", 64, 0.7, 0.7, 0.7, 0.7),
    ]
    summary = pd.DataFrame(rows, columns=["benchmark", "method", "bits", "map", "p_at_1", "p_at_5", "p_at_10"])
    assert revisited_lines(summary) == [
        ">> roxford5k, dsh-64: mAP E: 61.20, H: 20.10; mP@k[1 5 10] E: [90.00 80.00 75.00], H: [50.00 25.00 12.50]",
        ">> roxford5k, float: mAP E: 100.00; mP@k[1 5 10] E: [100.00 100.00 50.00]",
    ]
    assert revisited_lines(summary[3:]) == []


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
    assert table_of(summary).loc[("float", "real"), "made_up"] == 0.7
