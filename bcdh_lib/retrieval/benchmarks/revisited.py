"""ROxford5k and RParis6k (Radenović, Iscen, Tolias, Avrithis, Chum; CVPR 2018): jpg/ and gnd_NAME.pkl.

The 70 queries are boxes cut out of photos that are not in the database, though they lie in the same jpg/. Every database photo
is easy, hard, junk or nothing to a query, and three protocols read that differently, each a benchmark of its own:

    easy     easy photos answer          hard and junk ones are dropped
    medium   easy and hard photos answer          junk ones are dropped
    hard     hard photos answer          easy and junk ones are dropped

A query that nothing answers under a protocol leaves its mean, and is counted.
"""

from __future__ import annotations

from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.files import chosen_photos
from bcdh_lib.retrieval.benchmarks.gnd import Answers, GroundTruth, Rows, gnd_file, read_gnd

PROTOCOLS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
"""Which kinds of photos answer, and which are dropped."""


class RevisitedAnswers(Answers):
    easy: Rows
    hard: Rows


def read_revisited(folder: Path, protocol: str) -> Benchmark:
    """The benchmark of one protocol in `folder`; all three are one collection. Raises StudyError."""
    file = gnd_file(folder)
    truth = read_gnd(file, RevisitedAnswers)
    both = set(truth.imlist) & set(truth.qimlist)
    if both:
        raise StudyError(f"{file}: {min(both)} is a query and in the database; put the published {file.name} there")
    photos = chosen_photos(folder, [*truth.imlist, *truth.qimlist])
    return Benchmark(
        f"{folder.name}_{protocol}",
        {name: photos[name] for name in truth.imlist},
        [_query(truth, place, protocol) for place in range(len(truth.gnd))],
        {name: photos[name] for name in truth.qimlist},
        folder.name,
    )


def _query(truth: GroundTruth[RevisitedAnswers], place: int, protocol: str) -> Query:
    answers, photo = truth.gnd[place], truth.qimlist[place]
    positives, junk = (truth.names([row for kind in kinds for row in getattr(answers, kind)]) for kinds in PROTOCOLS[protocol])
    return Query(photo, photo, answers.box, positives, junk - positives)
