"""Vectors without training: against the systems of the same name, photo by photo, kept and made anew, and nothing to see."""

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.comparison import untrained
from bcdh_lib.comparison.outputs import Kept, OfPhotos
from bcdh_lib.comparison.untrained import (
    CODERS,
    Words,
    descriptors_of,
    forget_descriptors,
    network_vectors,
    sift_folder,
    sift_vectors,
    untrained_made_with,
    untrained_units,
)
from bcdh_lib.core.code import LIBRARY
from bcdh_lib.params import Params
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.retrieval.sift_vectors import bag_of_words, inverse_document_frequency, learn_vocabulary, sift_of, vlad
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.train import write_whitened
from bcdh_lib.training.training_set import encode_kept
from bcdh_lib.training.views import Views

WORDS = Words(sift_vlad=2, sift_bow=5)
MADE_UP = Benchmark("made_up", {"a": None}, [Query("q", "a", None, frozenset(), frozenset())])


@pytest.fixture
def photos(tmp_path):
    """Two photos of noise and a blank one."""
    paths = [tmp_path / f"{name}.png" for name in ("one", "blank", "two")]
    for seed, path in enumerate(paths):
        noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise if path.stem != "blank" else 0 * noise).resize((160, 120)).save(path)
    return paths


def descriptors(counts=(40, 0, 30, 25)):
    return [np.random.default_rng(n).integers(0, 256, (n, 128)).astype(np.uint8) for n in counts]


def test_names_by_hand(study):
    """Whoever reads a name knows whose codes of whose vectors they are; without a whitening nothing is whitened."""
    names = [cell.name for unit in untrained_units(study, [16, 32], 7) for cell in unit.cells]
    assert len(names) == 2 * (1 + 2 * 5) + 2 * (1 + 2)
    assert names[:3] == ["pretrained-7", "pretrained_itq-16-7", "pretrained_itq-32-7"]
    assert names[-3:] == ["sift_bow-7", "sift_bow_itq-16-7", "sift_bow_itq-32-7"]
    plain = study.params.network.model_copy(update={"whitening": None})
    units = untrained_units(Study(study.root, study.params.model_copy(update={"network": plain})), [16], 7)
    assert [unit.source.method for unit in units] == ["pretrained", "sift_vlad", "sift_bow"]


def test_the_network_s_vectors_are_those_of_the_systems_of_the_same_name(study, training_set, tmp_path):
    """Plain: the network as it comes; whitened: the checkpoint that the training stage writes; validation photos are left out."""
    kept = [Kept(MADE_UP, {"database": training_set.activations, "queries": training_set.activations[:1]})]
    write_whitened(training_set, study.params, tmp_path / "whitened.safetensors")
    systems = {
        "pretrained": HashNetwork(study.params.network, bits=None).eval(),
        "whitened": load_checkpoint(tmp_path / "whitened.safetensors")[0],
    }
    for method, network in systems.items():
        own = network_vectors(study, method, training_set, kept)
        expected = encode_kept(network, training_set.activations).numpy()
        np.testing.assert_allclose(own.training, expected[training_set.train], atol=1e-6)
        np.testing.assert_allclose(own.parts[0]["database"], expected, atol=1e-6)
        np.testing.assert_allclose(own.parts[0]["queries"], expected[:1], atol=1e-4)  # other batches, another rounding
    assert np.abs(own.training - encode_kept(systems["pretrained"], training_set.activations).numpy()[:16]).max() > 0.01


def test_sift_s_vectors_photo_by_photo():
    """The vocabulary is the training photos' and its seed's, whatever is asked of it; photos without features are zeros."""
    training, others = descriptors(), descriptors((20, 0))
    given = OfPhotos(training, [{"database": others, "queries": []}])
    centres = learn_vocabulary(training, 2, 3)
    vectors = sift_vectors("sift_vlad", given, 2, 3)
    assert (vectors.training == np.stack([vlad(each.astype(np.float32), centres) for each in training])).all()
    assert (vectors.parts[0]["database"][0] == vlad(others[0].astype(np.float32), centres)).all()
    assert not vectors.parts[0]["database"][1].any()
    assert vectors.parts[0]["queries"].shape == (0, 256)
    centres = learn_vocabulary(training, 5, 3)
    bags = sift_vectors("sift_bow", given, 5, 3)
    expected = bag_of_words([each.astype(np.float32) for each in others], centres, inverse_document_frequency(training, centres))
    assert (bags.parts[0]["database"] == expected).all()
    assert bags.parts[0]["queries"].shape == (0, 5)
    assert (sift_vectors("sift_bow", given, 5, 4).training != bags.training).any()


def test_descriptors_are_kept_by_the_photos_contents(study, photos, monkeypatch):
    """In the photos' order, those of `sift_of`; read again without extracting; another photo, box or limit is another file."""
    monkeypatch.setattr(untrained, "BLOCK", 2)
    views = Views(photos, 64, boxes=[None, None, (20, 10, 120, 100)])
    own = descriptors_of(study, views)
    most = study.params.reconstruction.max_features
    expected = [sift_of(path, most, box) for path, box in zip(photos, views.boxes, strict=True)]
    assert [len(each) > 0 for each in own] == [True, False, True]
    assert all(each.dtype == np.uint8 and (each == true).all() for each, true in zip(own, expected, strict=True))
    monkeypatch.setattr(untrained, "side_by_side", lambda *_: pytest.fail("extracted again"))
    assert [each.tolist() for each in descriptors_of(study, views)] == [each.tolist() for each in own]
    assert len(list(sift_folder(study).iterdir())) == 1
    monkeypatch.setattr(untrained, "side_by_side", lambda work, jobs, workers: map(work, reversed(jobs)))
    assert len(descriptors_of(study, Views(photos, 64))[2]) > len(own[2])
    photos[0].write_bytes(photos[1].read_bytes())
    assert [len(each) for each in descriptors_of(study, views)] == [0, 0, len(own[2])]
    assert len(list(sift_folder(study).iterdir())) == 3
    forget_descriptors(study)
    assert not sift_folder(study).exists()


def test_no_photos(study):
    assert descriptors_of(study, Views([], 64)) == []


def test_what_decides_vectors(study):
    """Settings of their own and no other's; the seed; photos and pairs. All code that is named is there."""
    assert all((LIBRARY / name).is_file() for name in (*untrained.NETWORK_CODE, *untrained.SIFT_CODE))
    made = {method: untrained_made_with(study, method, 7, WORDS) for method in CODERS}
    assert made["sift_vlad"]["vectors"] == {"method": "sift_vlad", "seed": 7, "words": 2, "max_features": 2048}
    settings = study.params.model_dump()
    settings["network"]["gem_power"], settings["reconstruction"]["max_features"] = 2.0, 99
    other = Study(study.root, Params.model_validate(settings))
    for method in CODERS:
        assert untrained_made_with(study, method, 7, WORDS) == made[method]
        assert untrained_made_with(study, method, 8, WORDS) != made[method]
        assert untrained_made_with(other, method, 7, WORDS) != made[method]
        same = untrained_made_with(study, method, 7, WORDS.model_copy(update={"sift_vlad": 3})) == made[method]
        assert same == (method != "sift_vlad")
    (study.pairs / "members.parquet").write_bytes(b"other groups")
    assert all(untrained_made_with(study, method, 7, WORDS)["pairs"] != made[method]["pairs"] for method in CODERS)
