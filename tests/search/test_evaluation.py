"""A checkpoint scored as the study scores it, by every scoring: equal to slow rankings."""

import numpy as np
import pytest

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.search import encoder, evaluation
from bcdh_lib.search.evaluation import evaluate
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.views import Views


@pytest.fixture
def benchmark(tmp_path, draw_photo, monkeypatch):
    """Twelve photos, of which three are queries; one has no positive."""
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


def outputs_of(benchmark, model):
    """Outputs of the queries, cut to their boxes, and of the database."""
    network = load_checkpoint(model)[0]
    queries = Views([benchmark.photos[q.photo] for q in benchmark.queries], 64, boxes=[q.box for q in benchmark.queries])
    parts = (queries, Views(list(benchmark.photos.values()), 64))
    return [encoder.outputs_of(network, np.concatenate([view.numpy() for view in views])) for views in parts]


def test_every_scoring_equals_its_slow_ranking(study, benchmark, checkpoint):
    table = evaluate(study, "made_up", checkpoint).set_index("scoring")
    queries, database = outputs_of(benchmark, checkpoint)
    centre = database.mean(0, dtype=np.float64).astype(np.float32)
    signs = unpack(pack(database - centre)).astype(np.float32)
    distances = {
        "hamming": (unpack(pack(queries))[:, None] != unpack(pack(database))[None]).sum(2),
        "recentred": (unpack(pack(queries - centre))[:, None] != signs[None]).sum(2),
        "asymmetric": -(queries - centre) @ signs.T,
    }
    for scoring, each in distances.items():
        wanted = average_precision(ties_of_distances(each, benchmark.positive(), benchmark.junk()), "rectangle")
        assert table["map_rectangle"][scoring] == pytest.approx(np.nanmean(wanted), abs=1e-6)
    assert table[["queries", "empty"]].iloc[0].tolist() == [3, 1]


def test_the_models_own_settings_hold(study, benchmark, params, checkpoint):
    other = params.network.model_copy(update={"side": 96, "backbone": "resnet50"})
    elsewhere = Study(study.root, study.params.model_copy(update={"network": other}))
    assert evaluate(elsewhere, "made_up", checkpoint).equals(evaluate(study, "made_up", checkpoint))


def test_real_vectors_and_what_cannot_be_scored(study, benchmark, untrained, tmp_path, monkeypatch):
    path = untrained(None)
    table = evaluate(study, "made_up", path)
    assert table["scoring"].tolist() == ["cosine"]
    assert 0 < table["map"].item() <= 1
    with pytest.raises(StudyError, match=r"gone\.safetensors"):
        evaluate(study, "made_up", tmp_path / "gone.safetensors")
    monkeypatch.undo()
    with pytest.raises(StudyError, match="oxford"):
        evaluate(study, "oxford", path)
