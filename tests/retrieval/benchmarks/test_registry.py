"""Every benchmark by name on a tiny folder of its form, the collection too; own ones by their form; photos are looked at."""

from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from bcdh_lib.comparison.plan import changed
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import write_table
from bcdh_lib.retrieval.benchmarks import FORMS, PUBLISHED, benchmark_names, read_benchmark, read_benchmarks
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.collection import held_apart_queries, read_collection
from bcdh_lib.retrieval.benchmarks.oxford_paris import CORRUPT
from bcdh_lib.retrieval.benchmarks.photo_files import photos_in, require_photos
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, read_revisited
from bcdh_lib.study import Study
from tests.helpers import refused

from .conftest import DATABASE, QUERIES, original_truth, revisited_truth, save_photos, save_text, save_truth

FORM_OF = {name: key for key, form in FORMS.items() for name in (*form.made_by_study, *form.published)}
OWN = [("my_town", key) for key in FORMS if key != "collection"]


def study_with(root, params, names, own=None):
    return Study(root, changed(params, {"retrieval": {"benchmarks": names, "own_benchmarks": own or {}}}))


def make(study, name, form):
    """A tiny benchmark of that name and form; the numbers of its photos and queries."""
    folder = study.benchmarks / name
    if form == "collection":
        write_table(study.pairs, "members", pd.DataFrame({"photo_id": [0, 1], "model_id": 0, "group_id": 0, "split": "test"}))
        save_photos(study.photos / "images", ["0000000", "0000001"])
        return 2, 2
    if form == "holidays":
        save_photos(folder / "jpg", ["100000", "100001", "100100", "100101", "100102"])
        return 5, 2
    if form == "revisited":
        save_truth(save_photos(folder / "jpg", DATABASE + QUERIES), revisited_truth())
        return 4, 2
    save_text(save_photos(folder / "images", DATABASE))
    return 4, 1


def expect(monkeypatch, name, photos, queries):
    """Let the published benchmark of that name have these counts."""
    form = PUBLISHED[name]
    counted = form.published | {name: replace(form.published[name], photos=photos, queries=queries)}
    monkeypatch.setitem(PUBLISHED, name, replace(form, published=counted))


@pytest.mark.parametrize(("name", "form"), [*FORM_OF.items(), *OWN])
def test_every_benchmark_by_name_and_own_ones_by_their_form(tmp_path, params, monkeypatch, name, form):
    study = study_with(tmp_path, params, [name], {name: form} if name == "my_town" else {})
    photos, queries = make(study, name, form)
    if name in PUBLISHED:
        expect(monkeypatch, name, photos, queries)
    found = read_benchmarks(study)
    require_photos(found)
    assert [each.name for each in found] == benchmark_names(study)
    assert {each.photo_set for each in found} == {name}
    for each in found:
        assert (len(each.photos), len(each.queries)) == (photos, queries)
        assert each.positive().any()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_benchmark_that_is_absent_or_incomplete_is_named(tmp_path, params, monkeypatch, name):
    study, known = study_with(tmp_path, params, [name]), PUBLISHED[name].published[name]
    with pytest.raises(StudyError, match=rf"{name}: is not there; .*make benchmarks NAME={name}"):
        read_benchmarks(study)
    photos, queries = make(study, name, FORM_OF[name])
    with pytest.raises(StudyError, match=rf"gives {name} {photos} photos, not {known.photos:,}; .*own_benchmarks"):
        read_benchmarks(study)
    expect(monkeypatch, name, photos, known.queries)
    with pytest.raises(StudyError, match=rf"gives {name} {queries} queries, not {known.queries};"):
        read_benchmarks(study)


@pytest.mark.parametrize("name", ["oxford5k", "paris6k"])
def test_text_and_pickle_give_the_same_answers(tmp_path, params, monkeypatch, name):
    """The pickle keeps its own order of the database, and names a query after its photo."""
    expect(monkeypatch, name, 4, 1)
    study = study_with(tmp_path, params, [name])
    folder = save_text(save_photos(study.benchmarks / name / "jpg", DATABASE))
    text = read_benchmark(study, name)
    pickled = read_benchmark(study, save_truth(folder, original_truth()).name)
    assert list(text.photos) == ["a", "b", "c", "d"]
    assert list(pickled.photos) == DATABASE
    assert text.photos == pickled.photos
    assert [replace(query, name="a", group="a") for query in text.queries] == pickled.queries
    assert pickled.queries[0].positives == {"a", "d"}


def test_corrupt_photos_of_paris_are_in_no_database_and_answer_nothing(tmp_path, params, monkeypatch):
    expect(monkeypatch, "paris6k", 4, 1)
    study, corrupt = study_with(tmp_path, params, ["paris6k"]), min(CORRUPT)
    folder = save_text(save_photos(study.benchmarks / "paris6k/jpg", [*DATABASE, corrupt]))
    (folder / f"jpg/{corrupt}.jpg").write_bytes(b"<html>")
    (folder / "groundtruth/hall_1_ok.txt").write_text(f"{corrupt}\n")
    (benchmark,) = read_benchmarks(study)
    require_photos([benchmark])
    assert benchmark.queries[0].positives == {"a", "d"}


def test_a_name_with_variants_stands_for_all_of_them_once(tmp_path, params):
    study = study_with(tmp_path, params, ["collection", "roxford5k", "roxford5k_hard"])
    assert benchmark_names(study) == ["collection", "roxford5k_easy", "roxford5k_medium", "roxford5k_hard"]


def members(splits):
    return pd.DataFrame({"photo_id": range(5), "model_id": 0, "group_id": [0, 0, 1, 1, 2], "split": splits})


def test_the_collection_by_hand(study):
    write_table(study.pairs, "members", members(["train", "train", "test", "test", "test"]))
    benchmark = read_collection(study)
    assert [(query.name, query.group) for query in benchmark.queries] == [("2", "1"), ("3", "1")]
    assert benchmark.positive().tolist() == [[False, False, False, True, False], [False, False, True, False, False]]
    assert benchmark.junk().tolist() == [[False, False, True, False, False], [False, False, False, True, False]]
    assert benchmark.photos["3"] == study.image(3)


def test_a_collection_with_nothing_held_apart(study):
    assert held_apart_queries(members(["train"] * 5)) == []
    write_table(study.pairs, "members", members(["train"] * 5))
    with pytest.raises(StudyError, match=r"pairs\.test_share"):
        read_collection(study)


def with_box(path, box):
    return Benchmark("made_up", {"a": path}, [Query("q", "a", box, frozenset("a"), frozenset())])


def test_three_protocols_open_each_photo_once(roxford, monkeypatch):
    opened, original = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path.name) or original(path))
    require_photos(read_revisited(roxford, protocol) for protocol in PROTOCOLS)
    assert sorted(opened) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "q.jpg", "r.jpg"]


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (39, 29, 40.9, 30.9), None])
def test_boxes_inside_and_none(roxford, box):
    require_photos([with_box(roxford / "jpg/a.jpg", box)])


@pytest.mark.parametrize("box", [(0, 0, 42, 30), (0, 0, 40, 32), (90, 90, 99, 99)])
def test_a_box_outside_its_photo_is_named(roxford, box):
    with refused(r"jpg/a\.jpg: query q's box .* exceeds the photo of 40 x 30 px; put"):
        require_photos([with_box(roxford / "jpg/a.jpg", box)])


@pytest.mark.parametrize("content", [b"", b"<html>302 Found</html>", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\x89PNG\r\n\x1a\n", None])
@pytest.mark.parametrize("name", ["a", "q"])
def test_an_unreadable_photo_or_none_is_told_in_a_line(roxford, content, name):
    benchmark, photo = read_revisited(roxford, "hard"), roxford / f"jpg/{name}.jpg"
    photo.unlink() if content is None else photo.write_bytes(content)
    with refused(rf"jpg/{name}\.jpg: cannot be read as a photo .* unpack it again"):
        require_photos([benchmark])


def test_photos_lie_in_images_or_jpg(tmp_path):
    for place in ("jpg", "images"):
        (tmp_path / place).mkdir()
        with refused(rf"{place}: has no \.jpg; put"):
            photos_in(tmp_path)
        (tmp_path / f"{place}/{place}.jpg").touch()
        assert list(photos_in(tmp_path)) == [place]
