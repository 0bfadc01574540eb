"""Every benchmark of the registry on a tiny folder of its form; published ones must be whole, and say what lacks."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import write_table
from bcdh_lib.retrieval.benchmarks import BENCHMARKS, FOLDERS, SEVERAL, asked, folder_of, read_benchmark, require_photos
from bcdh_lib.retrieval.benchmarks.oxford_paris import CORRUPT
from bcdh_lib.retrieval.benchmarks.published import PUBLISHED
from bcdh_lib.study import Study

from .conftest import DATABASE, QUERIES, original_truth, revisited_truth, save_photos, save_text, save_truth

REAL = Path(__file__).resolve().parents[4] / "shared/benchmarks"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no real ground truth beside the repository (../shared/benchmarks)")


@pytest.fixture
def study(tmp_path, params):
    return Study(tmp_path, params)


def make(study, name):
    """A tiny benchmark of that name as its reader wants it; the number of its photos and queries."""
    folder = folder_of(study, name)
    if name == "pile":
        write_table(study.pairs, "members", pd.DataFrame({"photo_id": [0, 1], "model_id": 0, "group_id": 0, "split": "test"}))
        save_photos(study.photos / "images", ["0000000", "0000001"])
        return 2, 2
    if name.endswith("holidays"):
        save_photos(folder / "jpg", ["100000", "100001", "100100", "100101", "100102"])
        return 5, 2
    if name in FOLDERS:
        save_truth(save_photos(folder / "jpg", DATABASE + QUERIES), revisited_truth())
        return 4, 2
    save_text(save_photos(folder / "images", DATABASE))
    return 4, 1


def expect(monkeypatch, name, photos, queries):
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], photos=photos, queries=queries))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_of_the_registry(study, monkeypatch, name):
    photos, queries = make(study, name)
    if FOLDERS.get(name, name) in PUBLISHED:
        expect(monkeypatch, FOLDERS.get(name, name), photos, queries)
    benchmark = read_benchmark(study, name)
    require_photos([benchmark])
    assert benchmark.name == name
    assert (len(benchmark.photos), len(benchmark.queries)) == (photos, queries)
    assert benchmark.positive().any()


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if FOLDERS.get(name, name) in PUBLISHED])
def test_a_published_benchmark_that_is_not_there_or_not_whole_says_what_lacks(study, monkeypatch, name):
    known = PUBLISHED[FOLDERS.get(name, name)]
    said = rf"bring it by: make benchmarks NAME=\w+, or put all photos of {known.archives} straight into .*jpg"
    with pytest.raises(StudyError, match=said):
        read_benchmark(study, name)
    photos, queries = make(study, name)
    with pytest.raises(StudyError, match=rf"gives \w+ {photos} photos, not {known.photos:,}; put all photos"):
        read_benchmark(study, name)
    expect(monkeypatch, FOLDERS.get(name, name), photos, known.queries)
    with pytest.raises(StudyError, match=rf"gives \w+ {queries} queries, not {known.queries}; bring back"):
        read_benchmark(study, name)


def test_published_counts():
    counts = {name: (known.photos, known.queries) for name, known in PUBLISHED.items()}
    assert counts["roxford5k"] == (counts["oxford5k"][0] - 70, 70)
    assert counts["rparis6k"] == (counts["paris6k"][0] - 70, 70)
    assert counts["paris6k"][0] + len(CORRUPT) == 6412
    assert counts["holidays"] == (1491, 500)


@pytest.mark.parametrize("name", ["oxford5k", "paris6k"])
def test_text_and_pickle_give_the_same_answers(study, monkeypatch, name):
    """The pickle keeps its own order of the database, and names a query by its photo."""
    expect(monkeypatch, name, 4, 1)
    folder = save_text(save_photos(study.benchmarks / name / "jpg", DATABASE))
    text = read_benchmark(study, name)
    pickled = read_benchmark(study, save_truth(folder, original_truth()).name)
    assert list(text.photos) == ["a", "b", "c", "d"]
    assert list(pickled.photos) == DATABASE
    assert text.photos == pickled.photos
    assert [replace(query, name="a") for query in text.queries] == pickled.queries
    assert pickled.queries[0].positives == {"a", "d"}


def test_corrupt_photos_of_paris_are_in_no_database_and_answer_nothing(study, monkeypatch):
    expect(monkeypatch, "paris6k", 4, 1)
    corrupt = min(CORRUPT)
    folder = save_text(save_photos(study.benchmarks / "paris6k/jpg", [*DATABASE, corrupt]))
    (folder / f"jpg/{corrupt}.jpg").write_bytes(b"<html>")
    (folder / "groundtruth/hall_1_ok.txt").write_text(f"{corrupt}\n")
    benchmark = read_benchmark(study, "paris6k")
    require_photos([benchmark])
    assert benchmark.queries[0].positives == {"a", "d"}


def test_three_protocols_by_one_name(study):
    names = ["pile", "roxford5k", "roxford5k_hard"]
    several = study.params.model_copy(update={"retrieval": study.params.retrieval.model_copy(update={"benchmarks": names})})
    assert asked(Study(study.root, several)) == ["pile", "roxford5k_easy", "roxford5k_medium", "roxford5k_hard"]
    assert {folder_of(study, each) for each in SEVERAL["rparis6k"]} == {study.benchmarks / "rparis6k"}
    assert {each for protocols in SEVERAL.values() for each in protocols} <= BENCHMARKS.keys()


@needs_real
def test_the_real_ground_truth_of_oxford_with_as_many_photos(study):
    """Photos are empty files here: 845 that the ground truth names, the rest made up."""
    folder = study.benchmarks / "oxford5k"
    (folder / "jpg").mkdir(parents=True)
    (folder / "groundtruth").symlink_to(REAL / "oxford5k_ground_truth")
    texts = [file.read_text().split() for file in (folder / "groundtruth").iterdir() if not file.name.endswith("_query.txt")]
    asked_for = [file.read_text().split()[0].removeprefix("oxc1_") for file in (folder / "groundtruth").glob("*_query.txt")]
    named = {name for names in [*texts, asked_for] for name in names}
    for name in [*named, *(f"made_up_{place:06d}" for place in range(PUBLISHED["oxford5k"].photos - len(named)))]:
        (folder / f"jpg/{name}.jpg").touch()
    benchmark = read_benchmark(study, "oxford5k")
    assert benchmark.positive().sum() == 2840
    (folder / f"jpg/{asked_for[0]}.jpg").unlink()
    with pytest.raises(StudyError, match=f"{asked_for[0]}, which is not among the photos"):
        read_benchmark(study, "oxford5k")


@needs_real
def test_the_real_list_of_holidays(study):
    (study.benchmarks / "holidays/jpg").mkdir(parents=True)
    for name in (REAL / "holidays/holidays_images.dat").read_text().split():
        (study.benchmarks / "holidays/jpg" / name).touch()
    benchmark = read_benchmark(study, "holidays")
    assert benchmark.positive().sum() == 991
    assert benchmark.junk().sum() == 500
