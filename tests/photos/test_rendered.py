"""The rendered pile and its benchmarks: repeatable to the byte, in the published forms, and nothing of one in the other."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.params import load_params
from bcdh_lib.photos import rendered
from bcdh_lib.photos.rendered import Collection, Outing, Taken, render, write_ground_truth
from bcdh_lib.study import Study, find_root

TINY = {
    "landmarks": 2,
    "photos_per_landmark": 3,
    "strays": 1,
    "width": 64,
    "height": 64,
    "benchmark_landmarks": 2,
    "photos_per_benchmark_landmark": 6,
    "queries_per_landmark": 2,
    "distractors": 3,
    "holidays_groups": 2,
}


def tiny_study(root: Path, seed: int = 3, threads: int = 1, **changes: int) -> Study:
    return Study(
        root, load_params(find_root() / "params.yaml", {"run": {"seed": seed, "threads": threads}, "rendered": TINY | changes})
    )


def contents(study: Study) -> dict[str, bytes]:
    return {str(path.relative_to(study.root)): path.read_bytes() for path in study.root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = tiny_study(tmp_path_factory.mktemp("study"))
    render(study)
    return study


def test_two_processes_give_the_bytes_of_one_and_leave_nothing_of_an_earlier_run(study, tmp_path):
    again = tiny_study(tmp_path, threads=2)
    again.rendered_pool.mkdir(parents=True)
    (again.rendered_pool / "of_an_earlier_run.jpg").write_bytes(b"")
    render(again)
    assert contents(again) == contents(study)


def test_killed_and_started_again(study, tmp_path, tmp_path_factory, monkeypatch):
    """Its process died in the fourth outing: the second run takes what is left only, and all is as if nothing had happened."""
    again, begun = tiny_study(tmp_path), tmp_path_factory.mktemp("notes") / "begun.txt"
    go = rendered._go

    def dies(outing, **settings):
        with begun.open("a") as log:
            log.write(f"{outing.collection:d}-{outing.number}\n")
        if len(begun.read_text().splitlines()) == 4:
            os._exit(9)
        return go(outing, **settings)

    monkeypatch.setattr(rendered, "_go", dies)
    with pytest.raises(StudyError, match=r"run\.threads"):
        render(again)
    assert not again.rendered_pool.exists()
    render(again)
    outings = begun.read_text().splitlines()
    assert len(outings) == len(set(outings)) + 1  # the one that was interrupted
    assert contents(again) == contents(study)


def test_another_seed_gives_other_photos_and_the_least_sizes_work(study, tmp_path):
    other = tiny_study(tmp_path, seed=4, strays=0, distractors=0, benchmark_landmarks=2, photos_per_benchmark_landmark=5)
    render(other)
    photos = {path for path, content in contents(other).items() if path.endswith(".jpg") and content in contents(study).values()}
    assert not photos
    assert len(list(other.rendered_pool.iterdir())) == 2 * 3
    assert len(list((other.benchmarks / "rendered_oxford/images").iterdir())) == 2 * 5


def test_the_truth_names_the_landmark_of_every_pool_photo_and_the_pool_does_not(study):
    truth = read_table(study.truth.parent, "landmarks")
    assert sorted(truth.path) == sorted(path.name for path in study.rendered_pool.iterdir())
    assert truth.landmark.value_counts().to_dict() == {"landmark_000": 3, "landmark_001": 3}
    assert truth.landmark.isna().sum() == 1
    assert all(re.fullmatch(r"[0-9a-f]{16}\.jpg", name) for name in truth.path)
    assert Image.open(study.rendered_pool / truth.path[0]).size == (64, 64)


def test_names_in_the_pool_come_in_no_order_of_landmarks(tmp_path):
    pool = rendered.plan_pool(tiny_study(tmp_path, landmarks=20, photos_per_landmark=20, strays=0))
    landmark = {path.name: outing.number for outing in pool for path in outing.files}
    inorder = np.array([landmark[name] for name in sorted(landmark)])
    assert len(landmark) == 400
    assert np.mean(inorder[1:] == inorder[:-1]) < 0.15  # 1 / 20 by chance


@pytest.mark.parametrize(("name", "prefix"), [("rendered_oxford", "oxc1_"), ("rendered_paris", "")])
def test_oxford_form(study, name, prefix):
    folder = study.benchmarks / name
    images = {path.stem for path in (folder / "images").iterdir()}
    assert len(images) == 2 * 6 + 3
    queries = sorted((folder / "groundtruth").glob("*_query.txt"))
    assert len(queries) == 2 * 2
    for query in queries:
        lists = {
            kind: query.with_name(query.name.replace("_query", f"_{kind}")).read_text().split() for kind in ("good", "ok", "junk")
        }
        image, *box = query.read_text().split()
        assert image.startswith(f"{prefix}{name.removeprefix('rendered_')}_")
        assert image.removeprefix(prefix) in lists["good"] + lists["ok"]
        named = lists["good"] + lists["ok"] + lists["junk"]
        assert len(named) == len(set(named)) <= 6
        assert set(named) <= images
        x1, y1, x2, y2 = map(float, box)
        assert 0 <= x1 < x2 <= 64
        assert 0 <= y1 < y2 <= 64


def test_holidays_form(study):
    names = sorted(path.name for path in (study.benchmarks / "rendered_holidays/images").iterdir())
    assert all(re.fullmatch(r"\d{6}\.jpg", name) for name in names)
    groups: dict[int, list[int]] = {}
    for name in names:
        groups.setdefault(int(name[:6]) // 100, []).append(int(name[:6]) % 100)
    assert len(groups) == 2
    for places in groups.values():
        assert places == list(range(len(places)))  # the query, divisible by 100, comes first
        assert 3 <= len(places) <= 5


def test_ground_truth_by_hand(tmp_path):
    shares = [0.9, 0.25, 0.5, 0.0, 0.61, 0.1, 0.26, 0.6, 0.7]
    files = tuple(tmp_path / f"arch_{k:06d}.jpg" for k in range(9))
    taken = {path: Taken(path, share, (1.0, 2.5, 30.04, 40.0)) for path, share in zip(files, shares, strict=True)}
    write_ground_truth(tmp_path / "groundtruth", [Outing(Collection.OXFORD, 0, files)], taken, "oxc1_", 5)
    read = {path.name: path.read_text() for path in (tmp_path / "groundtruth").iterdir()}
    assert len(read) == 5 * 4
    assert read["arch_1_query.txt"] == "oxc1_arch_000000 1.0 2.5 30.0 40.0\n"
    assert [read[f"arch_{k}_query.txt"].split()[0] for k in range(1, 6)] == [f"oxc1_arch_00000{k}" for k in (0, 2, 4, 6, 7)]
    assert read["arch_5_good.txt"].split() == ["arch_000000", "arch_000004", "arch_000007", "arch_000008"]
    assert read["arch_5_ok.txt"].split() == ["arch_000002", "arch_000006"]
    assert read["arch_5_junk.txt"].split() == ["arch_000001", "arch_000005"]


def test_no_place_of_the_pool_occurs_in_a_benchmark_nor_any_place_twice(tmp_path):
    study = Study(tmp_path, load_params(find_root() / "params.yaml"))
    pool = rendered.plan_pool(study)
    others = [outing for folder, plan in rendered._plans(study).items() for outing in plan(study, folder)]
    keys = [(outing.collection, outing.number) for outing in pool + others]
    assert len(set(keys)) == len(keys)
    draws = {rendered.random_numbers(study.params.run.seed, *key, photo=0).integers(2**63) for key in keys}
    assert len(draws) == len(keys)
    assert {outing.collection for outing in pool if outing.landmark} == {Collection.POOL}
    assert Collection.POOL not in {outing.collection for outing in others}
