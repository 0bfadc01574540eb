"""From outputs to codes on disk and back: by hand, once a photo set, and files that do not fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_array
from bcdh_lib.core.tables import TABLES, write_table
from bcdh_lib.retrieval import codes as module
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import benchmark_views, code_outputs, encode_by_all, read_codes, write_codes, write_system_codes
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
    views = benchmark_views(study, protocols[0])["database"]
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
