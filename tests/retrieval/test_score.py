"""From outputs to codes on disk and to scores: by hand, once a photo set, against slow loops, and files that do not fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.codes import unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_array
from bcdh_lib.core.metrics import average_precision
from bcdh_lib.core.tables import TABLES, read_table, write_table
from bcdh_lib.retrieval import codes as module
from bcdh_lib.retrieval.benchmarks import read_benchmark
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import BenchmarkCodes, code_outputs, encode_by_all, read_codes, write_codes, write_system_codes
from bcdh_lib.retrieval.score import mean_scores, plain, rankings, read_summary, score, score_codes, summarise, table_of
from bcdh_lib.retrieval.systems import FLOAT, PRETRAINED, System, systems
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import save_checkpoint
from bcdh_lib.training.encoding import cache_activations, encode
from bcdh_lib.training.network import HashNetwork


def test_codes_by_hand():
    """Bit 0 of the database has the mean 3; the query's 2 is above 0 and below 3."""
    queries, database = np.zeros((1, 8), np.float32), np.zeros((3, 8), np.float32)
    queries[0, 0], database[:, 0] = 2, (1, 2, 6)
    codes = code_outputs(queries, database, 8)
    assert codes.queries.tolist() == [[255]]
    assert codes.database.tolist() == [[255]] * 3
    assert codes.recentred_database.tolist() == [[254], [254], [255]]
    assert codes.centred_queries.tolist() == [[-1] + [0] * 7]
    vectors = code_outputs(queries, database, None)
    assert vectors.database is database
    assert vectors.recentred_database is None
    with pytest.raises(StudyError, match="not finite"):
        code_outputs(np.full((1, 8), np.nan, np.float32), database, 8)


@pytest.fixture
def protocols(study, tmp_path, monkeypatch):
    """Three protocols of one photo set: four photos, and one query outside the database."""
    for place, name in enumerate("abcdq"):
        Image.new("RGB", (40, 30), (50 * place, 90, 200 - 40 * place)).save(tmp_path / f"{name}.jpg")
    photos = {name: tmp_path / f"{name}.jpg" for name in "abcd"}

    def protocol(name, positives, junk):
        query = Query("q", "q", (0, 0, 20, 30), frozenset(positives), frozenset(junk))
        return Benchmark(f"roxford5k_{name}", photos, [query], {"q": tmp_path / "q.jpg"}, "roxford5k")

    three = [protocol("easy", "a", "bd"), protocol("medium", "ab", "d"), protocol("hard", "b", "ad")]
    monkeypatch.setattr(module, "read_benchmarks", lambda study: three)
    return three


def test_every_system_of_a_study_is_written_once_a_photo_set_and_read_back(study, protocols):
    """One hash network, the float baseline, and shallow codes of the baseline's vectors of ten training photos."""
    study = Study(study.root, changed(study.params, {"training": {"runs": [{"method": "dsh", "bits": 8}]}}))
    write_table(study.pairs, "members", pd.DataFrame({"photo_id": range(10), "model_id": 0, "group_id": 0, "split": "train"}))
    write_table(study.pairs, "pairs", TABLES["pairs"].schema.empty_table().to_pandas())
    write_array(study.checkpoints / "vectors.npy", np.random.default_rng(0).normal(size=(10, 1, 1280)).astype(np.float32))
    for system in systems(study):
        if system.method in ("dsh", "float", "whitened"):
            network = HashNetwork(study.params.network, system.bits)
            save_checkpoint(study.checkpoint(system.name), network, {"method": system.method})
    write_codes(study)
    assert {path.parent.name for path in study.codes.rglob("*.npy")} == {"roxford5k"}
    assert {"itq-8", FLOAT, PRETRAINED, "dsh-8"} <= {system.name for system in systems(study)}
    for system in systems(study):
        codes = read_codes(study, protocols[2], system)
        assert (len(codes.queries), len(codes.database)) == (1, 4)
        if system.bits:
            assert codes.recentred_database.shape == codes.database.shape == (4, 1)
            assert codes.centred_queries.shape == (1, 8)
        else:
            np.testing.assert_allclose(np.linalg.norm(codes.database, axis=1), 1, atol=1e-5)


def test_networks_that_share_their_blocks_or_not_give_what_each_gives_alone(study, protocols):
    networks = {name: HashNetwork(study.params.network, bits).eval() for name, bits in (("float", None), ("a", 8), ("b", 16))}
    with torch.no_grad():
        next(iter(networks["b"].late.parameters())).mul_(1.5)
    views = module.benchmark_views(study, protocols[0])["database"]
    found = encode_by_all(networks, views, study, "photos")
    for name, network in networks.items():
        alone = encode(network, cache_activations(network, views, 1, "photos")).numpy()
        np.testing.assert_allclose(found[name], alone, atol=1e-5)


def test_a_broken_photo_stops_before_any_is_encoded(study, protocols, tmp_path, monkeypatch):
    (tmp_path / "d.jpg").write_bytes(b"<html>")
    monkeypatch.setattr(module, "encode_by_all", lambda *_: pytest.fail("a photo was encoded"))
    with pytest.raises(StudyError, match=r"d\.jpg: cannot be read as a photo"):
        write_codes(study)


def test_files_that_do_not_fit_are_named(study, protocols):
    system, random = System("dsh", 8), np.random.default_rng(0)
    with pytest.raises(StudyError, match=r"dsh-8\.queries\.npy: cannot be read"):
        read_codes(study, protocols[0], system)
    good = code_outputs(random.normal(size=(1, 8)).astype("f4"), random.normal(size=(4, 8)).astype("f4"), 8)
    for field, wrong in (
        ("queries", np.zeros((3, 1), np.uint8)),
        ("database", np.zeros((4, 2), np.uint8)),
        ("recentred_database", np.zeros((4, 1), np.float32)),
        ("centred_queries", np.zeros((1, 16), np.float32)),
    ):
        write_system_codes(study, "roxford5k", system, replace(good, **{field: wrong}))
        with pytest.raises(StudyError, match=rf"dsh-8\.{field}\.npy: holds"):
            read_codes(study, protocols[0], system)
    write_system_codes(study, "roxford5k", system, good)
    write_array(study.codes / "roxford5k/dsh-8.queries.npy", good.queries)
    assert (read_codes(study, protocols[0], system).centred_queries == good.centred_queries).all()


def test_shallow_codes_need_the_float_baseline_and_as_many_photos_as_bits(study):
    """100 training photos are enough for ITQ and LSH of 64 bits, too few for 128."""
    members = pd.DataFrame({"photo_id": range(100), "model_id": 0, "group_id": 0, "split": "train"})
    write_table(study.pairs, "members", members)
    names = [system.name for system in systems(study)]
    assert len(set(names)) == len(names)
    assert {"float", "pretrained", "itq-16", "lsh-64", "binary_constrained-128", "dsh-64"} <= set(names)
    assert not {"itq-128", "lsh-128"} & set(names)


@pytest.fixture
def benchmark(tmp_path):
    photos = {name: tmp_path / f"{name}.jpg" for name in "abcd"}
    queries = [Query("q", "a", None, frozenset("bc"), frozenset("a"), "town"), Query("r", "d", None, frozenset(), frozenset("d"))]
    return Benchmark("made_up", photos, queries)


def test_scores_by_hand(study, benchmark):
    """From q: b at distance 0, d at 1, c at 3 bits; a is the query itself. Rectangle (1 + 2/3) / 2; r has no positive."""
    system = System("dsh", 8)
    codes = BenchmarkCodes(np.zeros((2, 1), np.uint8), np.array([[0], [0], [0b111], [0b1]], dtype=np.uint8))
    rows = score_codes(study, benchmark, system, codes)
    assert rows["ap_rectangle"].iloc[0] == pytest.approx((1 + 2 / 3) / 2)
    assert rows["ap"].iloc[0] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert np.isnan(rows["ap"].iloc[1])
    assert rows["group"].tolist() == ["town", "r"]
    summary = summarise(rows)
    assert summary["map"].item() == rows["ap"].iloc[0]
    assert summary[["queries", "empty"]].to_numpy().tolist() == [[2, 1]]


def test_real_vectors_are_ranked_by_distance(study, benchmark):
    turn = np.array([[np.cos(angle), np.sin(angle)] for angle in (0, 0.3, 0.1, 0.2)], dtype=np.float32)
    rows = score_codes(study, benchmark, System("float", None), code_outputs(turn[[0, 3]], turn, None))
    assert rows["ap_rectangle"].iloc[0] == pytest.approx((1 + 2 / 3) / 2)
    assert rows["bits"].isna().all()
    assert set(rows["scoring"]) == {"cosine"}


def test_recentred_and_asymmetric_by_hand(study, tmp_path):
    """Every output lies above 0: plain codes are equal. The mean is 2; the query (3, 1.8) is (1, -.2) about it. a (3, 1) has its
    bits; b (3, 3) differs in the one of weight .2, c (1, 1) in that of weight 1; d (1, 3) in both."""
    photos = {name: tmp_path / name for name in "abcd"}
    benchmark = Benchmark("b", photos, [Query("q", "q", None, frozenset("c"), frozenset())], {"q": tmp_path / "q"})
    database = np.full((4, 8), 2, np.float32)
    database[:, :2] = (3, 1), (3, 3), (1, 1), (1, 3)
    queries = np.full((1, 8), 2, np.float32)
    queries[0, :2] = 3, 1.8
    codes = code_outputs(queries, database, 8)
    rows = score_codes(study, benchmark, System("dsh", 8), codes).set_index("scoring")
    assert rows.loc["hamming", "ap_rectangle"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)  # four photos tie
    assert rows.loc["recentred", "ap_rectangle"] == pytest.approx((1 / 2 + 1 / 3) / 2)  # behind a, tied with b
    assert rows.loc["asymmetric", "ap_rectangle"] == pytest.approx(1 / 3)  # behind a and b
    assert rows["recall_in_radius"].notna().tolist() == [True, True, False]


@pytest.mark.parametrize("scoring", ["hamming", "recentred", "asymmetric"])
def test_each_scoring_equals_a_slow_ranking(scored_study, scoring):
    """P@1 of every query, from the distances by a loop."""
    system = next(system for system in systems(scored_study) if system.bits == 16)
    benchmark = read_benchmark(scored_study, "rendered_oxford")
    codes = read_codes(scored_study, benchmark, system)
    ties = dict(rankings(benchmark, codes))[scoring]
    found = np.divide(ties.hits, ties.sizes, where=ties.sizes > 0, out=np.zeros(ties.sizes.shape))
    first = [row[np.flatnonzero(sizes)[0]] for row, sizes in zip(found, ties.sizes, strict=True)]
    outputs = unpack(codes.queries) if scoring == "hamming" else codes.centred_queries
    stored = unpack(codes.database if scoring == "hamming" else codes.recentred_database)
    for number, query in enumerate(benchmark.queries):
        weights = np.abs(outputs[number].astype(float)) if scoring == "asymmetric" else np.ones(16)
        distances = [weights[(outputs[number] >= 0) != (code > 0)].sum() for code in stored]
        ranked = [(far, name) for far, name in zip(distances, benchmark.photos, strict=True) if name not in query.junk]
        nearest = [name in query.positives for far, name in ranked if far <= min(ranked)[0] + 1e-6]
        assert first[number] == pytest.approx(np.mean(nearest))


def test_no_scoring_depends_on_the_order_of_the_database(scored_study):
    """To the last digit, of codes that tie much."""
    benchmark = read_benchmark(scored_study, "rendered_oxford")
    random = np.random.default_rng(0)
    outputs = np.sign(random.normal(size=(46, 8))).astype(np.float32) + np.float32(0.1)
    order = random.permutation(40)
    names = list(benchmark.photos)
    shuffled = Benchmark("shuffled", {names[row]: benchmark.photos[names[row]] for row in order}, benchmark.queries)
    one, other = code_outputs(outputs[:6], outputs[6:], 8), code_outputs(outputs[:6], outputs[6:][order], 8)
    for (_, ties), (_, again) in zip(rankings(benchmark, one), rankings(shuffled, other), strict=True):
        first, second = (average_precision(each, "trapezoid") for each in (ties, again))
        np.testing.assert_array_equal(first, second)


def test_the_step_writes_one_table_of_all_scorings_and_its_summaries(scored_study):
    before = {path: path.read_bytes() for path in scored_study.reports.glob("*.*") if path.name != "metrics.json"}
    score(scored_study)
    assert {path: path.read_bytes() for path in before} == before
    queries, summary = read_table(scored_study.reports, "queries"), read_summary(scored_study)
    assert set(queries["scoring"]) == {"hamming", "cosine", "recentred", "asymmetric"}
    compared = systems(scored_study)
    assert len(plain(summary)) == len(compared)
    assert len(summary) == sum(3 if system.bits else 1 for system in compared)
    written = pd.read_csv(scored_study.reports / "map.csv")
    np.testing.assert_allclose(np.sort(written["map"]), np.sort(summary["map"]), atol=1e-6)
    assert set(pd.read_csv(scored_study.reports / "curves.csv")["method"]) == {system.method for system in compared}


def test_mean_scores_by_hand():
    """(.2 + .4) / 2; one benchmark without a figure; no radius around real vectors; a system that is not named."""
    rows = [
        ("one", "dsh", 8, "hamming", 0.2, 0.5),
        ("one", "dsh", 8, "asymmetric", 0.4, None),
        ("one", "float", None, "cosine", 0.6, None),
        ("one", "lsh", 8, "hamming", 0.1, 0.1),
        ("two", "dsh", 8, "hamming", 0.4, None),
        ("two", "float", None, "cosine", 0.7, None),
    ]
    columns = ["benchmark", "method", "bits", "scoring", "map", "recall_in_radius"]
    summary = pd.DataFrame(rows, columns=columns).astype({"bits": "Int64"})
    maps = {"hamming": {"dsh-8": 0.3}, "asymmetric": {"dsh-8": 0.4}, "cosine": {"float": 0.65}}
    assert mean_scores(summary, {"dsh-8", "float"}) == {"map": maps, "recall_in_radius": {"hamming": {"dsh-8": 0.5}}}
    assert mean_scores(summary, set()) == {"map": {}, "recall_in_radius": {}}
    assert table_of(plain(summary)).loc[("float", "real"), "two"] == 0.7
