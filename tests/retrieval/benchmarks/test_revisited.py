"""The revisited protocols: by hand, against the official program's loop; ground truth files of another form, and hostile ones."""

import os
import pickle

import numpy as np
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, precision_at, ties_of_distances
from bcdh_lib.retrieval.benchmarks.gnd import read_gnd
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, RevisitedAnswers, read_revisited
from tests.helpers import refused

from .conftest import revisited_truth, save_truth


@pytest.mark.parametrize(
    ("protocol", "positive", "junk"),
    [
        ("easy", ["b", ""], ["acd", "d"]),
        ("medium", ["abd", "d"], ["c", ""]),
        ("hard", ["ad", "d"], ["bc", ""]),
    ],
)
def test_by_hand(roxford, protocol, positive, junk):
    benchmark = read_revisited(roxford, protocol)
    assert benchmark.name == f"roxford5k_{protocol}"
    assert benchmark.photo_set == "roxford5k"
    assert list(benchmark.photos) == ["b", "a", "d", "c"]
    assert [set(query.positives) for query in benchmark.queries] == [set(names) for names in positive]
    assert [set(query.junk) for query in benchmark.queries] == [set(names) for names in junk]
    assert [query.box for query in benchmark.queries] == [(1, 2.5, 40, 30), (0, 0, 20, 10)]
    assert [benchmark.photo_of(query) for query in benchmark.queries] == [roxford / "jpg/q.jpg", roxford / "jpg/r.jpg"]
    assert benchmark.positive().shape == (2, 4)


def official(ranking, easy, hard, junk, protocol, k):
    """AP and P@k of one query as the official program's loop has them, for rows ranked from the nearest on."""
    ok = {"easy": easy, "medium": easy | hard, "hard": hard}[protocol]
    dropped = {"easy": junk | hard, "medium": junk, "hard": junk | easy}[protocol]
    kept = [row for row in ranking if row not in dropped]
    ranks = [rank for rank, row in enumerate(kept) if row in ok]
    if not ok:
        return np.nan, np.nan
    ap = 0.0
    for j, rank in enumerate(ranks):
        ap += ((j / rank if rank else 1.0) + (j + 1) / (rank + 1)) / 2 / len(ok)
    last = min(ranks[-1] + 1, k)
    return ap, sum(rank < last for rank in ranks) / last


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equals_the_official_loop_on_random_rankings(roxford, protocol):
    """P@k too, wherever a query has k positives or more."""
    rng = np.random.default_rng(3)
    kinds = rng.permuted(np.tile(np.repeat([0, 1, 2, 3], [6, 5, 4, 25]), (12, 1)), axis=1)
    kinds[0][kinds[0] == 0] = kinds[1][kinds[1] == 1] = 3  # one query without easy photos, one without hard ones
    names = [f"p{row:02d}" for row in range(40)]
    queries = [f"q{row:02d}" for row in range(12)]
    for name in names + queries:
        (roxford / f"jpg/{name}.jpg").touch()
    sets = [[set(np.flatnonzero(row == kind).tolist()) for kind in range(3)] for row in kinds]
    gnd = [{"bbx": [0, 0, 9, 9], "easy": [*easy], "hard": [*hard], "junk": [*junk]} for easy, hard, junk in sets]
    benchmark = read_revisited(save_truth(roxford, {"imlist": names, "qimlist": queries, "gnd": gnd}), protocol)
    distances = rng.permuted(np.tile(np.arange(40), (12, 1)), axis=1)
    ties = ties_of_distances(distances, benchmark.positive(), benchmark.junk())
    for k in (1, 4):
        expected = np.array([official(row.argsort(), *each, protocol, k) for row, each in zip(distances, sets, strict=True)])
        assert np.isnan(expected[:, 0]).sum() == (protocol != "medium")
        np.testing.assert_allclose(average_precision(ties, "trapezoid"), expected[:, 0])
        np.testing.assert_allclose(precision_at(ties, k), expected[:, 1])


def test_a_query_in_the_database_is_named(roxford):
    save_truth(roxford, revisited_truth() | {"qimlist": ["q", "a"]})
    with pytest.raises(StudyError, match=r"gnd_roxford5k\.pkl: a is a query and in the database; put the published"):
        read_revisited(roxford, "hard")


def test_a_missing_photo_or_file_is_named(roxford):
    (roxford / "jpg/r.jpg").unlink()
    (roxford / "jpg/d.jpg").unlink()
    with pytest.raises(StudyError, match=r"jpg: lacks d\.jpg, .* 2 of the 6 photos"):
        read_revisited(roxford, "medium")
    (roxford / "gnd_roxford5k.pkl").unlink()
    with pytest.raises(StudyError, match=r"gnd_roxford5k\.pkl: cannot be read .* put the published gnd_roxford5k\.pkl there"):
        read_revisited(roxford, "medium")


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


def saved(tmp_path, content):
    file = tmp_path / "gnd_roxford5k.pkl"
    file.write_bytes(pickle.dumps(content))
    return file


def with_answers(**changes):
    truth = revisited_truth()
    truth["gnd"][1] |= changes
    return truth


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "valid dictionary"),
        (revisited_truth() | {"imlist": []}, "imlist: List should have at least 1 item"),
        (revisited_truth() | {"imlist": ["a", "b", "c", "a"]}, "imlist: a name repeats"),
        (revisited_truth() | {"qimlist": ["q", "q"]}, "qimlist: a name repeats"),
        (revisited_truth() | {"qimlist": ["q"]}, "qimlist holds 1 queries, gnd 2"),
        (with_answers(hard=[4]), r"gnd\.1\.hard: 4 is beyond imlist, which holds 4 names"),
        (with_answers(hard=[-1]), r"gnd\.1\.hard\.0: Input should be greater than or equal to 0"),
        (with_answers(hard=[True]), r"gnd\.1\.hard\.0: Input should be a valid integer"),
        (with_answers(junk=3), r"gnd\.1\.junk: Input should be a valid list"),
        (with_answers(bbx=[1, 2, 3]), r"gnd\.1\.bbx: List should have at least 4 items"),
        (with_answers(bbx=[0, 0, float("nan"), 1]), r"gnd\.1\.bbx\.2: Input should be a finite number"),
        (with_answers(bbx=[5, 0, 5, 1]), r"gnd\.1: the box 5\.0 0\.0 5\.0 1\.0 is empty"),
        (with_answers(bbx=np.array([0.0, 0.0, 20.0, 10.0])), r"it asks for numpy\S*; only plain containers"),
        (with_answers(bbx=[np.float64(0), np.float64(0), np.float64(20), 10]), r"it asks for numpy\S*; only plain containers"),
    ],
)
def test_another_form_is_told_in_a_line(tmp_path, content, message):
    with refused(rf"gnd_roxford5k\.pkl: .*{message}.*; put the published gnd_roxford5k\.pkl there"):
        read_gnd(saved(tmp_path, content), RevisitedAnswers)


@pytest.mark.parametrize("content", [Malicious(), with_answers(bbx=Malicious()), {"imlist": [Malicious()]}])
def test_a_malicious_file_raises_and_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    file = saved(tmp_path, content)
    with refused(r"gnd_roxford5k\.pkl: is not a pickle of plain data .*system"):
        read_gnd(file, RevisitedAnswers)
    assert not (tmp_path / "ran").exists()
