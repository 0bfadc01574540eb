"""ROxford5k and RParis6k (Radenović, Iscen, Tolias, Avrithis, Chum; CVPR 2018): jpg/ and gnd_NAME.pkl.

The 70 queries are boxes cut out of photos that are not in the database, though they are in the same jpg/. Every database photo
is easy, hard, junk or nothing to a query. The protocols score that in three ways, each a benchmark of its own:

    easy     easy photos answer          hard and junk ones are dropped
    medium   easy and hard photos answer          junk ones are dropped
    hard     hard photos answer          easy and junk ones are dropped

A query without positives under a protocol is left out of its mean, and is counted.
"""

from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark
from bcdh_lib.retrieval.benchmarks.form import Form, Published
from bcdh_lib.retrieval.benchmarks.gnd import Answers, Rows, gnd_file, read_gnd
from bcdh_lib.retrieval.benchmarks.oxford_paris import OXFORD_PHOTOS, PARIS_PHOTOS
from bcdh_lib.retrieval.benchmarks.photo_files import chosen_photos

PROTOCOLS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
"""Which kinds of photos answer, and which are dropped."""

REVISITED = "http://cmp.felk.cvut.cz/revisitop/data/datasets"

FORM = Form(
    read=lambda study, folder, variant: read_revisited(folder, variant),
    variants=tuple(PROTOCOLS),
    published={
        "roxford5k": Published(4993, 70, (*OXFORD_PHOTOS, f"{REVISITED}/roxford5k/gnd_roxford5k.pkl"), "gnd_roxford5k.pkl"),
        "rparis6k": Published(6322, 70, (*PARIS_PHOTOS, f"{REVISITED}/rparis6k/gnd_rparis6k.pkl"), "gnd_rparis6k.pkl"),
    },
)


class RevisitedAnswers(Answers):
    easy: Rows
    hard: Rows


def read_revisited(folder: Path, protocol: str) -> Benchmark:
    """The benchmark of one protocol in `folder`; all three share one photo set. Raises StudyError."""
    file = gnd_file(folder)
    truth = read_gnd(file, RevisitedAnswers)
    both = set(truth.imlist) & set(truth.qimlist)
    if both:
        raise StudyError(f"{file}: {min(both)} is a query and in the database; put the published {file.name} there")
    photos = chosen_photos(folder, [*truth.imlist, *truth.qimlist])
    return Benchmark(
        f"{folder.name}_{protocol}",
        {name: photos[name] for name in truth.imlist},
        truth.queries(*PROTOCOLS[protocol]),
        {name: photos[name] for name in truth.qimlist},
        folder.name,
    )
