"""VLAD and bags of words by hand and by slow loops, COLMAP's features of cut photos, photos without any."""

import numpy as np
import pycolmap
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.sift_vectors import assign, bag_of_words, inverse_document_frequency, learn_vocabulary, sift_of, vlad

CENTRES = np.array([[0, 0], [10, 10]], np.float32)
NONE = np.zeros((0, 2), np.float32)


def descriptors(counts=(40, 1, 0, 25), d=8):
    generator = np.random.default_rng(0)
    return [generator.normal(size=(n, d)).astype(np.float32) for n in counts]


def write_photo(path, size=(160, 120)):
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(path)
    return path


def test_vlad_by_hand():
    """Residuals (3, 0) and (0, -4) to the first word sum to (3, -4), of length 5; (-2, 0) to the second. Each word has length 1,
    so (.6, -.8, -1, 0), so signed roots of squared length .6 + .8 + 1 = 2.4."""
    own = vlad(np.array([[3, 0], [0, -4], [8, 10]], np.float32), CENTRES)
    expected = np.array([np.sqrt(0.6), -np.sqrt(0.8), -1, 0]) / np.sqrt(2.4)
    np.testing.assert_allclose(own, expected, atol=1e-6)


def test_vlad_of_one_descriptor_of_one_on_its_word_and_of_none():
    np.testing.assert_allclose(vlad(np.array([[0, 2]], np.float32), CENTRES), [0, 1, 0, 0])
    assert not vlad(CENTRES[:1], CENTRES).any()
    assert not vlad(NONE, CENTRES).any()


def test_vlad_is_the_slow_loop():
    training = descriptors()
    centres = learn_vocabulary(training, 5, 0)
    for each in training:
        sums = np.zeros((5, 8))
        for descriptor in each.astype(float):
            word = min(range(5), key=lambda w: ((descriptor - centres[w]) ** 2).sum())
            sums[word] += descriptor - centres[word]
        parts = [s / np.linalg.norm(s) if s.any() else s for s in sums]
        rooted = np.array([np.sign(x) * abs(x) ** 0.5 for part in parts for x in part])
        np.testing.assert_allclose(vlad(each, centres), rooted / (np.linalg.norm(rooted) or 1), atol=1e-4)


def test_the_scale_of_descriptors_changes_no_vector():
    small, large = descriptors(), [512 * each for each in descriptors()]
    one, other = learn_vocabulary(small, 5, 0), learn_vocabulary(large, 5, 0)
    np.testing.assert_allclose(512 * one, other, rtol=1e-4)
    np.testing.assert_allclose(vlad(small[0], one), vlad(large[0], other), atol=1e-4)


def test_bag_of_words_by_hand():
    """Of two training photos both show the first word, which weighs log 1 = 0, one the second, which weighs log 2. A third word,
    which neither shows, weighs log 2 too; a photo of one feature of the second and two of the third is (0, 1, 2) / sqrt 5."""
    centres = np.vstack([CENTRES, [[-10, -10]]]).astype(np.float32)
    idf = inverse_document_frequency([centres[:1], centres[:2]], centres)
    np.testing.assert_allclose(idf, [0, np.log(2), np.log(2)])
    bags = bag_of_words([centres[[1, 2, 2, 0]], centres[:1], NONE], centres, idf)
    np.testing.assert_allclose(bags, np.array([[0, 1, 2], [0, 0, 0], [0, 0, 0]]) / np.sqrt(5), rtol=1e-6)


def test_no_photos():
    assert inverse_document_frequency([], CENTRES).tolist() == [0, 0]
    assert bag_of_words([], CENTRES, np.ones(2)).shape == (0, 2)


def test_bag_of_words_is_the_slow_loop():
    training = descriptors()
    centres = learn_vocabulary(training, 5, 0)
    bags = bag_of_words(training, centres, inverse_document_frequency(training, centres))
    words = [[min(range(5), key=lambda w: ((x - centres[w]) ** 2).sum()) for x in each] for each in training]
    for bag, own in zip(bags, words, strict=True):
        raw = [own.count(w) * np.log(len(words) / max(1, sum(w in other for other in words))) for w in range(5)]
        np.testing.assert_allclose(bag, np.array(raw) / (np.linalg.norm(raw) or 1), atol=1e-6)


def test_a_vocabulary_repeats_and_its_words_are_the_means_of_the_descriptors_nearest_to_them():
    training = descriptors((60, 90), 2)
    centres = learn_vocabulary(training, 3, 0)
    assert (learn_vocabulary(training, 3, 0) == centres).all()
    stacked = np.concatenate(training)
    own = assign(stacked, centres)
    assert (own == ((stacked[:, None] - centres) ** 2).sum(2).argmin(1)).all()
    np.testing.assert_allclose(centres, [stacked[own == word].mean(0) for word in range(3)], atol=1e-5)


def test_too_few_descriptors_are_named():
    with pytest.raises(StudyError, match="5 visual words need as many descriptors, the training photos have 3"):
        learn_vocabulary([NONE, CENTRES, CENTRES[:1]], 5, 0)
    with pytest.raises(StudyError, match="the training photos have 0"):
        learn_vocabulary([], 5, 0)


def test_features_are_those_of_the_reconstruction(tmp_path):
    path = write_photo(tmp_path / "photo.png")
    options = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    options.sift.max_num_features = 50
    pycolmap.extract_features(tmp_path / "database.db", tmp_path, ["photo.png"], extraction_options=options)
    with pycolmap.Database.open(tmp_path / "database.db") as entries:
        expected = entries.read_descriptors(1).data.reshape(-1, 128)
    own = sift_of(path, 50)
    assert own.dtype == np.float32
    assert len(own) >= 50
    assert (own == expected).all()


def test_a_box_is_cut_before_the_features_are_found(tmp_path):
    path, box = write_photo(tmp_path / "photo.png"), (20.4, 10, 120, 100)
    with Image.open(path) as photo:
        photo.crop((20, 10, 120, 100)).save(tmp_path / "cut.png")
    own = sift_of(path, 1000, box)
    assert 0 < len(own) < len(sift_of(path, 1000))
    assert (own == sift_of(tmp_path / "cut.png", 1000)).all()


def test_a_photo_without_features_and_no_photo(tmp_path):
    Image.new("RGB", (50, 40), (9, 9, 9)).save(tmp_path / "blank.png")
    assert sift_of(tmp_path / "blank.png", 100).shape == (0, 128)
    with pytest.raises(StudyError, match=r"absent.png: cannot be read"):
        sift_of(tmp_path / "absent.png", 100)
