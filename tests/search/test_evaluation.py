"""A checkpoint scored as the study scores it, and recentred: equal to a slow ranking; what cannot be scored is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bcdh_lib.core.codes import distances, pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_array
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.params import Expansion, Options
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.score import System, load_codes, parts_of, query_rows, summarise, ties_on
from bcdh_lib.search import evaluation
from bcdh_lib.search.evaluation import evaluate
from bcdh_lib.search.index_update import update
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint, save_checkpoint
from bcdh_lib.training.training_set import encode_kept, keep


@pytest.fixture
def study(params, tmp_path):
    return Study(tmp_path, params.model_copy(update={"run": params.run.model_copy(update={"threads": 1})}))


@pytest.fixture
def benchmark(tmp_path, draw_photo, monkeypatch):
    """Twelve photos, of which three query; one is answered by nothing."""
    photos = {str(number): tmp_path / f"{number}.png" for number in range(12)}
    for number, path in photos.items():
        draw_photo(path, int(number))
    queries = [
        Query("a", "0", None, frozenset("123"), frozenset("0")),
        Query("b", "5", (0, 0, 60, 40), frozenset({"6", "11"}), frozenset("5")),
        Query("c", "7", None, frozenset(), frozenset("7")),
    ]
    benchmark = Benchmark("made_up", photos, queries)
    monkeypatch.setattr(evaluation, "read_benchmark", lambda study, name: benchmark)
    return benchmark


def outputs_of(study, benchmark, model, side=64):
    network, _ = load_checkpoint(model)
    parts = {part: replace(views, side=side) for part, views in parts_of(study, benchmark).items()}
    return {part: encode_kept(network, keep(network, views, 0, "")).numpy() for part, views in parts.items()}


def test_the_score_is_the_studys(study, benchmark, checkpoint):
    table = evaluate(study, "made_up", checkpoint)
    system = System("dsh", 16)
    for part, outputs in outputs_of(study, benchmark, checkpoint).items():
        write_array(study.codes / f"made_up/dsh-16.{part}.npy", pack(outputs))
    wanted = summarise(query_rows(study, benchmark, system, ties_on(study, benchmark, system)))
    assert load_codes(study, benchmark, system)[0].shape == (3, 2)
    assert table.drop(columns=["recentred", "option", "distractors"]).equals(wanted)
    assert table[["queries", "empty", "recentred", "option", "distractors"]].to_numpy().tolist() == [[3, 1, False, None, 0]]


def test_recentred_equals_a_slow_ranking(study, benchmark, checkpoint):
    """Thresholds at the database's mean; the best order of ties has the positives first, rectangle by its definition."""
    plain, recentred = evaluate(study, "made_up", checkpoint, recentre=True).to_dict("records")
    assert plain["map"] == evaluate(study, "made_up", checkpoint)["map"].item()
    assert (plain["recentred"], recentred["recentred"]) == (False, True)
    outputs = outputs_of(study, benchmark, checkpoint)
    middle = outputs["database"].mean(0, dtype=np.float64).astype(np.float32)
    database, queries = (unpack(pack(outputs[part] - middle)) for part in ("database", "queries"))
    precisions = []
    for query, code in zip(benchmark.queries[:2], queries, strict=False):
        distance = {name: int((code != other).sum()) for name, other in zip(benchmark.photos, database, strict=True)}
        orders = []
        for luck in np.random.default_rng(0).random((4000, 12)):
            ranked = sorted((distance[name], chance, name) for name, chance in zip(distance, luck, strict=True))
            hits = [name in query.positives for _, _, name in ranked if name not in query.junk]
            ranks = np.flatnonzero(hits) + 1
            orders.append((np.arange(len(ranks)) + 1) / ranks)
        precisions.append(np.mean(orders))
    assert recentred["map_rectangle"] == pytest.approx(np.mean(precisions), abs=0.01)


def test_distractors_equal_a_database_with_them_in_it(study, benchmark, checkpoint, tmp_path, draw_photo, taken, monkeypatch):
    """As an index, against the same photos as the benchmark's own; one that is the benchmark's own does not count twice."""
    (tmp_path / "others").mkdir()
    others = {f"other {number}": tmp_path / f"others/{number}.jpg" for number in range(20)}
    for number, path in enumerate(others.values()):
        draw_photo(path, number)
    (tmp_path / "others/own.jpg").write_bytes(benchmark.photos["1"].read_bytes())
    update(tmp_path / "index", tmp_path / "others", checkpoint, study)
    plain, filled = evaluate(study, "made_up", checkpoint, distractors=tmp_path / "index").to_dict("records")
    assert plain == evaluate(study, "made_up", checkpoint).to_dict("records")[0]
    assert (plain["distractors"], filled["distractors"]) == (0, 20)
    larger = Benchmark("made_up", benchmark.photos | others, benchmark.queries)
    monkeypatch.setattr(evaluation, "read_benchmark", lambda study, name: larger)
    (slow,) = evaluate(study, "made_up", checkpoint).to_dict("records")
    assert filled == pytest.approx(slow | {"distractors": 20})
    assert filled["map"] < plain["map"]
    with pytest.raises(StudyError, match="leave out --recentre or --distractors"):
        evaluate(study, "made_up", checkpoint, recentre=True, distractors=tmp_path / "index")


def test_options_are_rows_of_their_own(study, benchmark, checkpoint):
    """The plain rows stay; one scale that is the network's own side changes nothing, half of it does."""
    settings = Expansion(neighbours=2, alpha=1.0)
    plain = evaluate(study, "made_up", checkpoint, recentre=True)
    table = evaluate(study, "made_up", checkpoint, True, Options(scales=[1.05], database_augmentation=settings))
    assert table[:2].drop(columns="bits").equals(plain.drop(columns="bits"))
    assert table["option"].tolist() == [None, None, "scales", "database_augmentation", "together"]
    assert table["recentred"].tolist() == [False, True, False, False, False]
    assert table["bits"].tolist() == [16] * 5
    assert table["map"][2] == plain["map"][0]
    assert table["map"][4] == table["map"][3]
    table = evaluate(study, "made_up", checkpoint, options=Options(scales=[0.5], query_expansion=settings))
    assert table["recall_in_radius"].isna().tolist() == [False, False, True, True]
    outputs = outputs_of(study, benchmark, checkpoint, 32)
    ties = ties_of_distances(
        distances(*(pack(outputs[p]) for p in ("queries", "database"))), benchmark.positive(), benchmark.junk()
    )
    assert table["map_rectangle"][1] == np.nanmean(average_precision(ties, "rectangle"))
    with pytest.raises(StudyError, match="both come to 64 px"):
        evaluate(study, "made_up", checkpoint, options=Options(scales=[1.0, 1.05]))


def test_the_models_own_settings_hold(study, benchmark, params, checkpoint):
    other = params.network.model_copy(update={"side": 96, "backbone": "resnet50"})
    elsewhere = Study(study.root, study.params.model_copy(update={"network": other}))
    assert evaluate(elsewhere, "made_up", checkpoint).equals(evaluate(study, "made_up", checkpoint))


def test_real_vectors_and_what_cannot_be_scored(study, benchmark, params, tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = tmp_path / "float.safetensors"
    save_checkpoint(path, HashNetwork(params.network, None), {"method": "float"})
    table = evaluate(study, "made_up", path)
    assert table["bits"].isna().all()
    assert 0 < table["map"].item() <= 1
    with pytest.raises(StudyError, match=r"float\.safetensors: gives real vectors, .* leave out --recentre"):
        evaluate(study, "made_up", path, recentre=True)
    with pytest.raises(StudyError, match=r"gone\.safetensors"):
        evaluate(study, "made_up", tmp_path / "gone.safetensors")
    monkeypatch.undo()
    with pytest.raises(StudyError, match="oxford is unknown; known: "):
        evaluate(study, "oxford", path)
    with pytest.raises(StudyError, match="rendered_paris: is not there"):
        evaluate(study, "rendered_paris", path)
