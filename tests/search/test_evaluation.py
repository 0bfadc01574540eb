"""The encoder, independent of a batch, with one batch held; a checkpoint's scores, equal to slow rankings."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.photos.folder import find_files
from bcdh_lib.photos.photo_file import LeftOut, Photo, decode_file
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.search import evaluation
from bcdh_lib.search.encoder import BATCH, Seen, encode, outputs_of, read_view
from bcdh_lib.search.evaluation import evaluate
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.views import Views


@pytest.fixture(scope="module")
def network(checkpoint):
    return load_checkpoint(checkpoint)[0]


def views_of(paths, **options):
    return np.concatenate([view.numpy() for view in Views(paths, 64, **options)])


def test_outputs_depend_on_no_other_photo_of_the_batch(network, tmp_path, draw_photo):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        draw_photo(path, number)
    together = outputs_of(network, views_of(paths))
    assert len(np.unique(together, axis=0)) == 5
    assert all((outputs_of(network, views_of([path]))[0] == row).all() for path, row in zip(paths, together, strict=True))
    with torch.no_grad():
        np.testing.assert_allclose(together, network(torch.from_numpy(views_of(paths))).numpy(), atol=1e-4)


def test_the_network_sees_what_the_study_shows_it(params, tmp_path):
    """Through the copy of the photos stage: turned upright, bounded at max_side, JPEG, and only then resized."""
    (tmp_path / "album").mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1400, 3), np.uint8))
    noise.save(tmp_path / "album/turned.jpg", exif=exif)
    noise.crop((0, 0, 90, 70)).save(tmp_path / "album/small.jpg")
    for job in find_files(tmp_path / "album")[0].items():
        view = read_view(job, params.photos, params.network.side)
        photo, picture = decode_file(job, params.photos)
        picture.as_copied().save(tmp_path / "copy.png")
        assert view.photo == photo
        assert (view.values == views_of([tmp_path / "copy.png"])).all()


def test_no_more_than_a_batch_is_held_and_files_left_out_are_passed_on(network):
    """Of an endless stream: what is read ahead of the lists that have been used."""
    read = []

    def endless():
        yield LeftOut("a", "empty", "0 bytes")
        while True:
            read.append(Seen(Photo(str(len(read)), [1, 1], 64, 64, "", ""), np.zeros((1, 3, 64, 64), np.uint8)))
            yield read[-1]

    lists = encode(network, endless())
    assert next(lists) == [LeftOut("a", "empty", "0 bytes")]
    assert [one.photo.path for one in next(lists) if isinstance(one, Seen)] == [str(number) for number in range(BATCH)]
    assert len(read) == BATCH
    assert list(encode(network, [])) == []


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


def test_every_scoring_equals_its_slow_ranking(study, benchmark, checkpoint, network):
    table = evaluate(study, "made_up", checkpoint).set_index("scoring")
    asked = views_of([benchmark.photos[each.photo] for each in benchmark.queries], boxes=[each.box for each in benchmark.queries])
    queries, database = (outputs_of(network, views) for views in (asked, views_of(list(benchmark.photos.values()))))
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
