"""The revisited protocols: by hand, against the official program's loop, nothing that answers, files of another form."""

import numpy as np
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import average_precision, precision_at, ties_of_distances
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, read_revisited

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
