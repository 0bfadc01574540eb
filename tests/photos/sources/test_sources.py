"""Every photo source gives photos of one form; the rendered collection and its benchmarks are equal to the byte in every run."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import load_params
from bcdh_lib.photos.collect import collect_photos
from bcdh_lib.photos.scene.camera import Seen
from bcdh_lib.photos.sources import SOURCES, rendered
from bcdh_lib.photos.sources.folder import photos_of
from bcdh_lib.photos.sources.rendered import Series, plan_benchmarks, plan_collection, write_ground_truth
from bcdh_lib.study import Study, find_root
from tests.helpers import contents, refused

TINY = {"landmarks": 2, "photos_per_landmark": 3, "strays": 1, "width": 64, "height": 64, "holidays_groups": 2}
TINY |= {"benchmark_landmarks": 2, "photos_per_benchmark_landmark": 4, "queries_per_landmark": 2, "distractors": 3}


@pytest.mark.parametrize("source", SOURCES)
def test_source(source, tmp_path):
    (tmp_path / "album").mkdir()
    for number in range(7):
        Image.new("RGB", (64, 64), (30 * number, 0, 0)).save(tmp_path / f"album/{number}.png")
    changes = {"photos": {"source": source, "folder": "album"}, "rendered": TINY}
    collect_photos(Study(tmp_path, load_params(find_root() / "params.yaml", changes)))
    photos = read_table(tmp_path / "data/photos", "photos")
    assert photos["photo_id"].tolist() == list(range(7))
    assert photos["path"].is_monotonic_increasing
    assert set(photos["source"]) == {source}
    assert photos[["width", "height"]].drop_duplicates().values.tolist() == [[64, 64]]
    assert len(list((tmp_path / "data/photos/images").iterdir())) == 7
    assert len(read_table(tmp_path / "data/photos", "left_out")) == 0


def of_folder(root, folder):
    return Study(root, load_params(find_root() / "params.yaml", {"photos": {"source": "folder", "folder": folder}}))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, ""),
        ("nowhere", "does not exist"),
        ("file.jpg", "is a file"),
        ("data", "the study's own"),
        ("data/photos/images", "the study's own"),
        ("work", "the study's own"),
    ],
)
def test_folders_that_are_refused(folder, message, tmp_path):
    (tmp_path / "file.jpg").touch()
    for own in ("data/photos/images", "work"):
        (tmp_path / own).mkdir(parents=True)
    with refused(rf"photos.*{message}"):
        photos_of(of_folder(tmp_path, folder))


def test_a_folder_is_relative_to_the_study_and_may_have_any_name(tmp_path):
    """caf\\xe9 is not UTF-8: settings and messages show it escaped."""
    named = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(named)
    assert os.fsencode(photos_of(of_folder(tmp_path, r"caf\xe9"))) == named
    os.rmdir(named)
    with pytest.raises(StudyError, match=r"caf\\xe9 does not exist") as caught:
        photos_of(of_folder(tmp_path, r"caf\xe9"))
    assert str(caught.value).encode()


def tiny_study(root, seed=3, threads=1, **changes):
    changes = {"run": {"seed": seed, "threads": threads}, "rendered": TINY | changes}
    return Study(root, load_params(find_root() / "params.yaml", changes))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = tiny_study(tmp_path_factory.mktemp("study"))
    rendered.photos_of(study)
    return study


def test_two_processes_give_the_same_bytes_after_a_kill_and_in_place_of_an_earlier_run(study, tmp_path, monkeypatch):
    """The process dies in the fourth place; the second run renders only the rest. A third, with everything there, nothing."""
    again, begun = tiny_study(tmp_path, threads=2), tmp_path / "begun.txt"
    again.rendered_pool.mkdir(parents=True)
    (again.rendered_pool / "of_an_earlier_run.jpg").write_bytes(b"")
    render_place = rendered.render_place

    def dies(plan, **settings):
        with begun.open("a") as log:
            log.write(f"{plan.series:d}-{plan.number}\n")
        if len(begun.read_text().splitlines()) == 4:
            os._exit(9)
        return render_place(plan, **settings)

    monkeypatch.setattr(rendered, "render_place", dies)
    with pytest.raises(StudyError, match=r"run\.threads"):
        rendered.photos_of(again)
    rendered.photos_of(again)
    places = begun.read_text().splitlines()
    assert len(places) <= len(set(places)) + 2  # no more than those that two processes were in
    assert contents(again.root / "data") == contents(study.root / "data")
    rendered.photos_of(again)
    assert begun.read_text().splitlines() == places


def test_another_seed_gives_other_photos_and_the_least_sizes_work(study, tmp_path):
    other = tiny_study(tmp_path, seed=4, strays=0, distractors=0, photos_per_benchmark_landmark=2)
    rendered.photos_of(other)
    photos = {content for path, content in contents(tmp_path / "data").items() if path.endswith(".jpg")}
    assert not photos & set(contents(study.root / "data").values())
    assert len(list(other.rendered_pool.iterdir())) == 2 * 3
    assert len(list((other.benchmarks / "rendered_oxford/images").iterdir())) == 2 * 2


def test_the_truth_names_the_landmark_of_every_photo_and_the_file_names_do_not(study):
    truth = read_table(study.truth.parent, "landmarks")
    assert sorted(truth.path) == sorted(path.name for path in study.rendered_pool.iterdir())
    assert truth.landmark.value_counts().to_dict() == {"landmark_000": 3, "landmark_001": 3}
    assert truth.landmark.isna().sum() == 1
    assert all(re.fullmatch(r"[0-9a-f]{16}\.jpg", name) for name in truth.path)
    assert Image.open(study.rendered_pool / truth.path[0]).size == (64, 64)
    params = tiny_study(study.root, landmarks=20, photos_per_landmark=20, strays=0).params
    landmark = {path.name: plan.number for plan in plan_collection(params, study.rendered_pool) for path in plan.files}
    in_order = np.array([landmark[name] for name in sorted(landmark)])
    assert len(landmark) == 400
    assert np.mean(in_order[1:] == in_order[:-1]) < 0.15  # 1 / 20 by chance


@pytest.mark.parametrize(("name", "prefix"), [("rendered_oxford", "oxc1_"), ("rendered_paris", "")])
def test_oxford_form(study, name, prefix):
    folder = study.benchmarks / name
    images = {path.stem for path in (folder / "images").iterdir()}
    assert len(images) == 2 * 4 + 3
    queries = sorted((folder / "groundtruth").glob("*_query.txt"))
    assert len(queries) == 2 * 2
    for query in queries:
        kinds = (query.with_name(query.name.replace("query", kind)) for kind in ("good", "ok", "junk"))
        good, ok, junk = (path.read_text().split() for path in kinds)
        image, *box = query.read_text().split()
        assert image.startswith(f"{prefix}{name.removeprefix('rendered_')}_")
        assert image.removeprefix(prefix) in good + ok
        assert len(good + ok) > 1
        named = good + ok + junk
        assert len(named) == len(set(named)) <= 4
        assert set(named) <= images
        x1, y1, x2, y2 = map(float, box)
        assert 0 <= x1 < x2 <= 64
        assert 0 <= y1 < y2 <= 64


def test_holidays_form(study):
    names = sorted(path.name for path in (study.benchmarks / "rendered_holidays/images").iterdir())
    assert all(re.fullmatch(r"\d{6}\.jpg", name) for name in names)
    groups = {}
    for name in names:
        groups.setdefault(int(name[:6]) // 100, []).append(int(name[:6]) % 100)
    assert len(groups) == 2
    for numbers in groups.values():
        assert numbers == list(range(len(numbers)))  # the query, divisible by 100, comes first
        assert 3 <= len(numbers) <= 5


def ground_truth(folder, shares, most):
    photos = {f"arch_{k:06d}": Seen(share, (1.0, 2.5, 30.04, 40.0)) for k, share in enumerate(shares)}
    write_ground_truth(folder, photos, "oxc1_", most)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_ground_truth_by_hand(tmp_path):
    read = ground_truth(tmp_path, [0.9, 0.25, 0.5, 0.0, 0.61, 0.1, 0.26, 0.6, 0.7], 5)
    assert len(read) == 5 * 4
    assert read["arch_1_query.txt"] == "oxc1_arch_000000 1.0 2.5 30.0 40.0\n"
    assert [read[f"arch_{k}_query.txt"].split()[0] for k in range(1, 6)] == [f"oxc1_arch_00000{k}" for k in (0, 2, 4, 6, 7)]
    assert read["arch_5_good.txt"].split() == ["arch_000000", "arch_000004", "arch_000007", "arch_000008"]
    assert read["arch_5_ok.txt"].split() == ["arch_000002", "arch_000006"]
    assert read["arch_5_junk.txt"].split() == ["arch_000001", "arch_000005"]
    (tmp_path / "none").mkdir()
    assert ground_truth(tmp_path / "none", [0.9, 0.2, 0.0], 2) == {}  # one photo shows the landmark


def test_no_place_of_the_collection_is_in_a_benchmark_and_no_place_occurs_twice(tmp_path):
    params = load_params(find_root() / "params.yaml")
    collection = plan_collection(params, tmp_path)
    others = [plan for plans in plan_benchmarks(params, tmp_path).values() for plan in plans]
    keys = [(plan.series, plan.number) for plan in collection + others]
    assert len(set(keys)) == len(keys)
    assert len({rendered.random_numbers(params.run.seed, *key, photo=0).integers(2**63) for key in keys}) == len(keys)
    assert {plan.series for plan in collection} == {Series.COLLECTION, Series.STRAYS}
    assert not {Series.COLLECTION, Series.STRAYS} & {plan.series for plan in others}
