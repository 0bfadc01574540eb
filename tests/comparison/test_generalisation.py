"""Networks on the benchmarks of another pile: equal to scoring one by itself, means by hand, what cannot be scored."""

import shutil

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison import generalisation
from bcdh_lib.comparison.generalisation import over_seeds, score_networks
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.recentring import centre_of, pack_around
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.score import parts_of
from bcdh_lib.study import Study
from bcdh_lib.training.network import load_checkpoint
from bcdh_lib.training.training_set import encode_kept, keep


@pytest.fixture
def other_study(tmp_path, params, draw_photo, monkeypatch):
    """A study whose benchmark is six photos, the first two of them queries that two others answer."""
    for number in range(6):
        draw_photo(tmp_path / f"{number}.png", number)
    photos = {str(number): tmp_path / f"{number}.png" for number in range(6)}
    queries = [Query(f"q{n}", str(n), None, frozenset({str(n + 2), str(n + 4)}), frozenset({str(n)})) for n in (0, 1)]
    monkeypatch.setattr(generalisation, "read_benchmarks", lambda study: [Benchmark("six", photos, queries)])
    return Study(tmp_path, params)


def test_a_network_is_scored_as_by_a_plain_ranking(other_study, checkpoint, tmp_path):
    networks = tmp_path / "networks"
    networks.mkdir()
    for ending in (".safetensors", ".json"):
        shutil.copy(checkpoint.with_suffix(ending), networks / f"dsh-16-3{ending}")
    facts = (networks / "dsh-16-3.json").read_text()
    (networks / "dsh-16-3.json").write_text(facts.replace('"method"', '"seed": 3,\n "method"'))
    row = score_networks(other_study, networks).iloc[0]
    assert row[["benchmark", "method", "bits", "seed"]].tolist() == ["six", "dsh", 16, 3]
    network, _ = load_checkpoint(checkpoint)
    [benchmark] = generalisation.read_benchmarks(other_study)
    views = parts_of(other_study, benchmark)["database"]
    outputs = encode_kept(network, keep(network, views, 1, "photos")).numpy()
    moved = np.unpackbits(pack_around(outputs, centre_of([outputs])), axis=1)
    for name, bits in (("map", outputs >= 0), ("recentred", moved > 0)):
        found = []
        for query in (0, 1):
            distance = {n: (bits[n] != bits[query]).sum() for n in range(6) if n != query}
            draws = [
                sorted(distance, key=lambda n: (distance[n], random[n])) for random in np.random.default_rng(0).random((4000, 6))
            ]
            found.append(np.mean([_ap(order, {query + 2, query + 4}) for order in draws]))
        assert row[name] == pytest.approx(np.mean(found), abs=0.01)
    cosine = outputs @ outputs.T / np.outer(*[np.linalg.norm(outputs, axis=1)] * 2)
    orders = {query: sorted(set(range(6)) - {query}, key=lambda n, query=query: -cosine[query, n]) for query in (0, 1)}
    real = np.mean([_ap(order, {query + 2, query + 4}) for query, order in orders.items()])
    assert row["before_sign"] == pytest.approx(real)


def _ap(order, positives):
    ranks = [place for place, name in enumerate(order) if name in positives]
    return np.mean([((j / rank if rank else 1) + (j + 1) / (rank + 1)) / 2 for j, rank in enumerate(ranks)])


def test_means_over_seeds_by_hand():
    rows = [("b", "dsh", 8, 1, 0.4, 0.5, 0.6), ("b", "dsh", 8, 2, 0.6, 0.7, 1.0), ("b", "float", None, 1, 0.9, np.nan, np.nan)]
    columns = ["benchmark", "method", "bits", "seed", "map", "recentred", "before_sign"]
    table = over_seeds(pd.DataFrame(rows, columns=columns))
    dsh = table[table["method"] == "dsh"].iloc[0]
    means = dsh[["seeds", "map", "recentred", "before_sign", "gain"]]
    assert means.tolist() == pytest.approx([2, 0.5, 0.6, 0.8, 0.1])
    assert dsh["high"] - dsh["map"] == pytest.approx(12.7062 * 0.1, rel=1e-4)
    assert dsh["gain_high"] == pytest.approx(0.1)
    assert np.isnan(table.loc[table["method"] == "float", "gain"].iloc[0])


def test_what_cannot_be_scored(other_study, checkpoint, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match=r"empty: holds no network .*make study"):
        score_networks(other_study, tmp_path / "empty")
    network = other_study.params.network.model_copy(update={"gem_power": 2.0})
    wider = Study(other_study.root, other_study.params.model_copy(update={"network": network}))
    with pytest.raises(StudyError, match=r"dsh-16.safetensors: has other settings of `network`"):
        score_networks(wider, checkpoint.parent)
    monkeypatch.setattr(generalisation, "open_study", lambda: other_study)
    assert generalisation.main([str(tmp_path / "empty"), "--out", str(tmp_path / "x.csv")]) == 1
    assert "holds no network" in capsys.readouterr().err
