"""What the network is shown: views, boxes, augmentation; batches with hard negatives, labels and places; by hand and by loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.training.batches import draw_places, draw_tuples, mine_negatives
from bcdh_lib.training.training_set import TrainingSet
from bcdh_lib.training.views import Views


@pytest.fixture
def photos(tmp_path):
    """Three photos, 80 x 60 px: left half red, right half blue; brighter from one to the next."""
    paths = []
    for place in range(3):
        image = Image.new("RGB", (80, 60), (100 + 50 * place, 0, 0))
        image.paste((0, 0, 100 + 50 * place), (40, 0, 80, 60))
        paths.append(tmp_path / f"{place}.png")
        image.save(paths[-1])
    return paths


def test_plain_view_and_box_by_hand(photos):
    whole, right = Views(photos, 8)[1][0], Views(photos, 8, boxes=[None, (41.2, -5, 300, 60), None])[1][0]
    assert whole.shape == (3, 8, 8)
    assert whole[:, 4, 0].tolist() == [150, 0, 0]
    assert whole[:, 4, 7].tolist() == [0, 0, 150]
    assert (right[2] == 150).all()
    assert (right[0] == 0).all()


def test_augmented_views_depend_on_seed_and_place_alone(photos):
    views = Views(photos, 16, augmented=2, seed=5)
    torch.manual_seed(1)
    one = views[2]
    torch.manual_seed(99)
    assert torch.equal(one, views[2])
    assert one.shape == (3, 3, 16, 16)
    assert torch.equal(one[0], Views(photos, 16)[2][0])
    assert not torch.equal(one[1], one[2])
    assert not torch.equal(one, Views(photos, 16, augmented=2, seed=6)[2])
    for workers in (0, 2):
        batches = list(views.batches(2, workers, "views"))
        assert [len(batch) for batch in batches] == [6, 3]
        assert torch.equal(torch.cat(batches), torch.cat([views[place] for place in range(3)]))


def test_bad_input_is_named(photos, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    for name in ("text.jpg", "gone.jpg"):
        with pytest.raises(StudyError, match=rf"{name}: cannot be read"):
            Views([tmp_path / name], 8)[0]
    with pytest.raises(StudyError, match="outside the photo of 80 x 60"):
        Views(photos, 8, boxes=[(90, 0, 95, 10), None, None])[0]


def small_set(groups, train=None):
    group = np.array(groups)
    train = np.ones(len(group), dtype=bool) if train is None else np.array(train)
    return TrainingSet(torch.zeros(len(group), 2, 1, 1, 1), group, train, np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize(("count", "expected"), [(2, [3, 4]), (3, [3, 4, 3])])
def test_negatives_by_hand(count, expected):
    """From photo 0 of group 7: rows 3 and 2 (both group 8) are nearest, then 4 (group 9); row 5 is held apart."""
    training_set = small_set([7, 7, 8, 8, 9, 5], [True] * 5 + [False])
    assert mine_negatives(training_set, np.array([[0, 1, 3, 2, 4, 0]]), np.array([0]), count).tolist() == [expected]


def test_negatives_equal_a_loop():
    generator = np.random.default_rng(0)
    training_set = small_set(np.sort(generator.integers(0, 8, 40)), generator.random(40) < 0.8)
    distances, queries = generator.integers(0, 9, (5, 40)), generator.integers(0, 40, 5)  # many are equal: by row
    mined = mine_negatives(training_set, distances, queries, 3)
    for place, query in enumerate(queries):
        chosen, groups = [], {training_set.group[query]}
        for _, row in sorted((distances[place, row], row) for row in range(40) if training_set.train[row]):
            if training_set.group[row] not in groups:
                groups.add(training_set.group[row])
                chosen.append(row)
        assert mined[place].tolist() == chosen[:3]


def check_labels(batch, training_set):
    """Every pair of the batch is labelled as the training set's tables say."""
    known = {tuple(sorted(pair)) for pair in training_set.pairs.tolist()}
    for i, first in enumerate(batch.rows.tolist()):
        for j, second in enumerate(batch.rows.tolist()):
            assert bool(batch.similar[i, j]) == (tuple(sorted((first, second))) in known)
            assert bool(batch.dissimilar[i, j]) == (training_set.group[first] != training_set.group[second])


@pytest.mark.parametrize("known", [None, [[0, 1], [5, 4]]])
def test_a_round_of_tuples_repeats_for_its_seed(training_set, params, known):
    """known: the only similar pairs; others of their group are then neither similar nor dissimilar."""
    if known:
        training_set = replace(training_set, pairs=np.array(known))
    vectors, settings = torch.randn(24, 16, generator=torch.Generator().manual_seed(1)), params.training.float_baseline
    batches = draw_tuples(training_set, vectors, settings, 7, 1)
    assert len(batches) == settings.steps_per_round
    for batch in batches:
        assert training_set.train[batch.rows].all()
        check_labels(batch, training_set)
    again, other = (draw_tuples(training_set, vectors, settings, 7, number) for number in (1, 2))
    assert all((a.rows == b.rows).all() for a, b in zip(batches, again, strict=True))
    assert any((a.rows != b.rows).any() or (a.views != b.views).any() for a, b in zip(batches, other, strict=True))


@pytest.mark.parametrize(("photos", "places", "expected"), [(8, 4, 8), (9, 3, 9), (99, 64, 16), (3, 2, 2)])
def test_places_are_as_many_as_asked_for_or_as_there_are(training_set, photos, places, expected):
    """Four groups of four photos to train on, all pairs known; a batch has a similar pair of every place it has two photos of."""
    vectors = replace(training_set, views=np.empty((24, 3, 2)))
    batches = draw_places(vectors, photos, places, 3)
    for batch in (next(batches) for _ in range(5)):
        assert len(batch.rows) == len(set(batch.rows)) == expected
        assert training_set.train[batch.rows].all()
        assert len(set(training_set.group[batch.rows])) == min(places, 4)
        check_labels(batch, training_set)
        assert ((batch.views >= 0) & (batch.views < 3)).all()
        assert bool(batch.similar.any(1).all()) == (photos >= 2 * min(places, 4))
    assert len(np.unique(np.concatenate([next(batches).views for _ in range(20)]))) == 3
    first, again = (next(draw_places(vectors, photos, places, 3)).rows for _ in range(2))
    assert (first == again).all()


def test_all_photos_of_a_group_are_similar(training_set):
    few = replace(training_set, pairs=np.array([[0, 1], [1, 0], [4, 5], [5, 4]]))
    batch = next(draw_places(few, 8, 2, 3))
    assert sorted(batch.rows) == list(range(8))  # groups 0 and 1 have pairs, groups 2 and 3 none
    group = few.group[batch.rows]
    expected = (group[:, None] == group) & ~np.eye(8, dtype=bool)
    assert (batch.similar.numpy() == expected).all()
    assert (batch.dissimilar.numpy() == (group[:, None] != group)).all()
