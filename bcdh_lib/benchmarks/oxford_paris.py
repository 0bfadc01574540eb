"""Oxford5k and Paris6k in their original form: images/*.jpg and text files of ground truth.

For each query NAME, groundtruth/NAME_query.txt holds one line `PHOTO left top right bottom` (px; Oxford writes `oxc1_` before
the photo's name), and NAME_good.txt, NAME_ok.txt, NAME_junk.txt one photo a line. good and ok are the positives, the query's
own photo among them; junk is dropped from the ranking. Lines are a set: a repeated one counts once. The query is the box cut
out of its photo.
"""

from __future__ import annotations

from pathlib import Path

from bcdh_lib.benchmarks.benchmark import Benchmark, BenchmarkError, Query, photos_in


def read_oxford_paris(folder: Path) -> Benchmark:
    """The benchmark in `folder`; raises BenchmarkError where a file is absent, misformed or names an unknown photo."""
    return Benchmark(folder.name, photos_in(folder / "images"), read_ground_truth(folder / "groundtruth"))


def read_ground_truth(folder: Path) -> list[Query]:
    """The queries, sorted by name, from the original text files. Raises BenchmarkError."""
    files = sorted(folder.glob("*_query.txt"))
    if not files:
        raise BenchmarkError(f"{folder}: holds no *_query.txt; put the benchmark's ground truth there")
    return [_read_query(file) for file in files]


def _read_query(file: Path) -> Query:
    name = file.name.removesuffix("_query.txt")
    fields = _lines(file)[0].split() if _lines(file) else []
    try:
        photo, (left, top, right, bottom) = fields[0], map(float, fields[1:])
    except (IndexError, ValueError):
        raise BenchmarkError(f"{file}: must hold one line: PHOTO left top right bottom") from None
    if not (0 <= left < right and 0 <= top < bottom):
        raise BenchmarkError(f"{file}: the box {left} {top} {right} {bottom} is empty or outside its photo")
    good, ok, junk = (frozenset(_lines(file.with_name(f"{name}_{kind}.txt"))) for kind in ("good", "ok", "junk"))
    return Query(name, photo.removeprefix("oxc1_"), (left, top, right, bottom), good | ok, junk - good - ok)


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"{file}: cannot be read ({error}); every query needs its _query, _good, _ok and _junk file"
        ) from None
