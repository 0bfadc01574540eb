"""Oxford5k and Paris6k: photos in jpg/ (or images/), and ground truth in either of the two published forms.

Original text files: for each query NAME, groundtruth/NAME_query.txt holds one line `PHOTO left top right bottom` (px; Oxford
writes `oxc1_` before the photo's name), and NAME_good.txt, NAME_ok.txt, NAME_junk.txt one photo a line. good and ok are the
positives, the query's own photo among them; junk is dropped from the ranking. Lines are a set: a repeated one counts once.
The database is every photo, sorted by name.

gnd_NAME.pkl (gnd.py), which is used if both are there: `ok` are the positives, `imlist` is the database, and a query is named
after its photo. Either way a query is the box cut out of its photo, and its landmark is its name without its number
(all_souls_1 -> all_souls), and without a photo's, of six digits, before that.
"""

from pathlib import Path

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.form import Form, Published
from bcdh_lib.retrieval.benchmarks.gnd import Answers, Rows, gnd_file, landmark_of, read_gnd
from bcdh_lib.retrieval.benchmarks.photo_files import chosen_photos, photos_in

CORRUPT = frozenset(
    f"paris_{each}"
    for each in (
        *("louvre_000136", "louvre_000146", "moulinrouge_000422", "museedorsay_001059", "notredame_000188", "pantheon_000284"),
        *("pantheon_000960", "pantheon_000974", "pompidou_000195", "pompidou_000196", "pompidou_000201", "pompidou_000467"),
        *("pompidou_000640", "sacrecoeur_000299", "sacrecoeur_000330", "sacrecoeur_000353", "triomphe_000662"),
        *("triomphe_000833", "triomphe_000863", "triomphe_000867"),
    )
)
"""Photos that are corrupt in Paris' published archives, as their authors list them (corrupt.txt): in no published database."""

VGG = "https://www.robots.ox.ac.uk/~vgg/data"
OXFORD_PHOTOS = (f"{VGG}/oxbuildings/oxbuild_images-v1.tgz",)
PARIS_PHOTOS = tuple(f"{VGG}/parisbuildings/paris_{part}-v1.tgz" for part in (1, 2))

FORM = Form(
    read=lambda study, folder, variant: read_oxford_paris(folder),
    made_by_study=("rendered_oxford", "rendered_paris"),
    published={
        "oxford5k": Published(5063, 55, (*OXFORD_PHOTOS, f"{VGG}/oxbuildings/gt_files_170407.tgz"), "groundtruth"),
        "paris6k": Published(6392, 55, (*PARIS_PHOTOS, f"{VGG}/parisbuildings/paris_120310.tgz"), "groundtruth"),
    },
)


class OriginalAnswers(Answers):
    ok: Rows


def read_oxford_paris(folder: Path) -> Benchmark:
    """The benchmark in `folder`, without the photos known to be corrupt.

    Raises StudyError if a file is absent, malformed or names an unknown photo.
    """
    if gnd_file(folder).is_file():
        truth = read_gnd(gnd_file(folder), OriginalAnswers)
        return Benchmark(folder.name, chosen_photos(folder, truth.imlist), truth.queries(["ok"], ["junk"]))
    photos = {name: path for name, path in photos_in(folder).items() if name not in CORRUPT}
    return Benchmark(folder.name, photos, read_ground_truth(folder / "groundtruth"))


def read_ground_truth(folder: Path) -> list[Query]:
    """The queries, sorted by name, from the original text files; corrupt photos answer none. Raises StudyError."""
    files = sorted(folder.glob("*_query.txt"))
    if not files:
        raise StudyError(f"{folder}: has no *_query.txt; put the benchmark's ground truth there")
    return [_read_query(file) for file in files]


def _read_query(file: Path) -> Query:
    name = file.name.removesuffix("_query.txt")
    fields = _lines(file)[0].split() if _lines(file) else []
    try:
        photo, (left, top, right, bottom) = fields[0], map(float, fields[1:])
    except (IndexError, ValueError):
        raise StudyError(f"{file}: must hold one line: PHOTO left top right bottom") from None
    if not (0 <= left < right and 0 <= top < bottom):
        raise StudyError(f"{file}: the box {left} {top} {right} {bottom} is empty or outside its photo")
    good, ok, junk = (frozenset(_lines(file.with_name(f"{name}_{kind}.txt"))) - CORRUPT for kind in ("good", "ok", "junk"))
    box = (left, top, right, bottom)
    return Query(name, photo.removeprefix("oxc1_"), box, good | ok, junk - good - ok, landmark_of(name))


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"{file}: cannot be read ({one_line(error)}); every query needs its _query, _good, _ok and _junk file"
        ) from None
