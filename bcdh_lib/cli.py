"""The command `bcdh`: from a folder of photos to a search.

    bcdh index PHOTOS                            # a code for each photo, by the default network
    bcdh search INDEX QUERY.jpg --html found.html
    bcdh learn PHOTOS                            # codes for these photos: 3D models, pairs, a network for `bcdh index`
    bcdh evaluate BENCHMARK --model MODEL        # mAP on a benchmark

Exit codes: 0 done, 1 something is wrong and said in one line, 2 the command is misspelt, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bcdh_lib.core.errors import StudyError, exit_code

# What a subcommand needs is imported in it: `bcdh --help` does not wait for torch.
if TYPE_CHECKING:
    import pandas as pd

    from bcdh_lib.photos.photo_file import LeftOut
    from bcdh_lib.search.index_update import Update
    from bcdh_lib.search.photo_index import Answer
    from bcdh_lib.study import Study

T = TypeVar("T")
LISTED = 10
"""Lost photos that are named on the screen; left_out.csv names all, and other files."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a path may hold bytes that are not UTF-8
    options = _parser().parse_args(arguments)
    try:
        code = exit_code(lambda: options.run(options), "stopped; the same command continues from here")
        sys.stdout.flush()
    except BrokenPipeError:  # who reads, as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
        return 1
    return code


def _index(options: argparse.Namespace) -> None:
    from bcdh_lib.search.index_update import update_index

    folder = options.index or Path(f"{_name_of(options.photos)}.bcdh")
    limits = {"exclude": options.exclude, "max_megapixels": options.max_megapixels}
    done = update_index(
        folder,
        options.photos,
        options.model,
        recentre=options.recentre,
        changes={key: value for key, value in limits.items() if value is not None},
        moved=options.moved,
        forget_missing=options.forget_missing,
    )
    counts = f"{done.new:,} new, {done.changed:,} changed, {done.moved:,} moved or copied, {done.gone:,} gone"
    print(f"{folder}: {done.photos:,} photos ({counts})")
    _print_remarks(folder, done)


def _name_of(photos: Path) -> str:
    """The name of a folder, or of a list without its ending, escaped as in the tables."""
    from bcdh_lib.photos.folder import path_in_table

    return path_in_table(Path(photos.resolve().stem if photos.is_file() else photos.resolve().name))


def _print_remarks(folder: Path, done: Update) -> None:
    """What the user should know: rows kept without their photos, lost photos by name, other files as a count."""
    if done.unreadable:
        _tell(f"{done.unreadable:,} photos cannot be read now (folder or disk); their codes are kept")
    if done.missing:
        _tell(f"{done.missing:,} photos of the index are missing; their codes are kept this time.", end=" ")
        _tell("If the photos are gone, run the same command again, or add --forget-missing")
    if done.cut:
        _tell(f"{done.cut:,} JPEGs are cut; they are used without their last rows")
    if 0 < 2 * done.centred_on <= done.photos:
        _tell(f"the bits' thresholds are the mean over {done.centred_on:,} of now {done.photos:,} photos;", end=" ")
        _tell("--recentre encodes all again about the mean of all")
    _print_left_out(done.left_out, folder / "left_out.csv")


def _print_left_out(left_out: list[LeftOut], table: Path) -> None:
    from bcdh_lib.photos.photo_file import counted, is_lost

    for title, wanted in (("photos lost", True), ("other files", False)):
        files = [one for one in left_out if is_lost(one) == wanted]
        if files:
            _tell(f"{title}: {counted(files)}")
        for one in files[: LISTED if wanted else 0]:
            _tell(f"  {one.path}: {one.reason} ({one.detail})")
    if left_out:
        _tell(f"all that was left out: {table}")


def _tell(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr)


def _search(options: argparse.Namespace) -> int:
    from bcdh_lib.core.files import write_bytes, writing
    from bcdh_lib.photos.decoding import prepare_process
    from bcdh_lib.search.contact_sheet import contact_sheet
    from bcdh_lib.search.photo_index import open_index

    prepare_process()
    index = open_index(options.index)
    answers = index.search(
        options.queries,
        options.k,
        hamming=options.hamming,
        within=options.within,
        distinct=options.distinct,
        method=options.method,
        nprobe=options.nprobe,
    )
    print(_answers_as_json(answers) if options.json else _answers_as_text(answers))
    for each in answers:
        if each.fault:
            _tell(f"{each.query}: {each.fault.reason} ({each.fault.detail}); name a photo")
    if options.html:
        with writing(options.html, "change --html"):
            write_bytes(options.html, contact_sheet(index, answers).encode())
    return int(any(each.fault for each in answers))


def _answers_as_json(answers: list[Answer]) -> str:
    from bcdh_lib.photos.folder import path_in_table

    rows = [
        {"query": path_in_table(answer.query), "hits": [vars(hit) for hit in answer.hits]}
        | ({"error": f"{answer.fault.reason} ({answer.fault.detail})"} if answer.fault else {})
        for answer in answers
    ]
    return json.dumps(rows, indent=1)


def _answers_as_text(answers: list[Answer]) -> str:
    """A line a hit, `distance path`, below a line that names the query."""
    from bcdh_lib.photos.folder import path_in_table

    lines = []
    for answer in (each for each in answers if each.fault is None):
        lines.append(f"{path_in_table(answer.query)}:")
        for hit in answer.hits:
            equal = f"  ({hit.copies} equal photos)" if hit.copies > 1 else ""
            lines.append(f"{hit.distance:6.4g}  {hit.path}{equal}")
    return "\n".join(lines)


def _learn(options: argparse.Namespace) -> None:
    from bcdh_lib.search.own_study import learn_from, learned_model, prepare_study
    from bcdh_lib.study import open_study

    into = options.into or Path(f"{_name_of(options.photos)}-study")
    new = prepare_study(options.photos, into, options.exclude or ())
    print(f"{into}: {'new' if new else 'continues'}, with the settings in its params.yaml", flush=True)
    if options.prepare:
        return
    study = open_study(root=into)
    table, left_out = learn_from(study)
    _print_left_out(left_out, into / "left_out.csv")
    print(_learned_as_text(table))
    print(f"The same table: {into / 'learned.csv'}")
    model = learned_model(study, int(table["bits"].max()))
    index = str(into.with_name(f"{_name_of(options.photos)}-learned.bcdh"))
    print(shlex.join(["Next:", "bcdh", "index", str(options.photos), "--model", str(model), "--index", index]))


def _learned_as_text(table: pd.DataFrame) -> str:
    """A line a candidate, and why the chosen one is chosen."""
    lines = [f"{'bits':>4} {'codes':16}{'mAP':>7}{'less default':>14}  standard error"]
    for row in table.to_dict("records"):
        scores = f"{row['map']:7.3f}{row['difference']:+14.3f}  {row['error']:.3f}" if row.get("map", 0) > 0 else ""
        lines.append(f"{row['bits']:4} {row['codes']:16}{scores}".rstrip())
        if row["chosen"]:
            lines.append(f"     used: {row['why']}")
    return "\n".join(lines)


def _evaluate(options: argparse.Namespace) -> None:
    from bcdh_lib.search.evaluation import evaluate

    table = evaluate(study_of(options.model), options.benchmark, options.model)
    if options.json:
        print(table.to_json(orient="records", indent=1))
        return
    # A line a scoring: mAP with its bounds over the orders of equal distances, by both rules of average precision.
    first, rows = table.iloc[0], table.set_index("scoring")[["map", "map_worst", "map_best", "map_rectangle"]]
    bits = f"{first['bits']} bits" if table["bits"].notna().all() else "real vectors"
    print(f"{first['benchmark']}: {first['method']}, {bits}; {first['queries']} queries, {first['empty']} without positives")
    print(rows.rename_axis(None).to_string(float_format="{:.3f}".format))


def study_of(model: Path) -> Study:
    """The study around a checkpoint, or else the one around the working directory. Raises StudyError."""
    from bcdh_lib.study import find_root, open_study

    try:
        root = find_root(model.parent)
    except StudyError:
        root = find_root()
    return open_study(root=root)


def _checked(kind: Callable[[str], T], holds: Callable[[T], bool], wanted: str) -> Callable[[str], T]:
    """A type of an argument, whose fault says what is wanted."""

    def parse(text: str) -> T:
        with suppress(ValueError):
            if holds(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text}: must {wanted}")

    return parse


COUNT = _checked(int, lambda count: count > 0, "be a whole number from 1")
BITS = _checked(float, lambda bits: bits >= 0, "be a number of bits from 0")
PAGE = _checked(Path, lambda path: path.suffix.lower() in (".html", ".htm"), "end in .html; a photo here would be overwritten")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bcdh", description="From a folder of photos to a search by binary codes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    exclude = "leave these files out (as in .gitignore; may be repeated)"

    learn = commands.add_parser("learn", help="fit the default network's codes to a folder of photos")
    learn.set_defaults(run=_learn)
    learn.add_argument("photos", type=Path, metavar="PHOTOS", help="folder; it is only read")
    learn.add_argument("--into", type=Path, metavar="FOLDER", help="folder for all results (default: NAME-study here)")
    learn.add_argument("--prepare", action="store_true", help="make that folder and stop, to edit its params.yaml first")
    learn.add_argument("--exclude", action="append", metavar="PATTERN", help=exclude)

    index = commands.add_parser("index", help="encode a folder of photos, or what changed in it since")
    index.set_defaults(run=_index)
    index.add_argument("photos", type=Path, metavar="PHOTOS", help="folder, or list of paths (.txt); photos are only read")
    index.add_argument("--model", type=Path, metavar="FILE", help="checkpoint of a new index (default: the default network)")
    index.add_argument("--index", type=Path, metavar="FOLDER", help="the index (default: NAME.bcdh here)")
    recentre = "encode all photos again, with the bits' thresholds at the mean over them; a new index has them there anyway"
    index.add_argument("--recentre", action=argparse.BooleanOptionalAction, help=recentre)
    index.add_argument("--exclude", action="append", metavar="PATTERN", help=exclude)
    index.add_argument("--max-megapixels", type=float, metavar="N", help="leave larger photos out")
    index.add_argument("--moved", action="store_true", help="the folder of photos was moved; reuse its codes")
    index.add_argument("--forget-missing", action="store_true", help="drop the codes of missing photos at once, however many")

    search = commands.add_parser("search", help="find the photos that are nearest to a photo")
    search.set_defaults(run=_search)
    search.add_argument("index", type=Path, metavar="INDEX", help="folder that `bcdh index` wrote")
    search.add_argument("queries", type=Path, nargs="+", metavar="QUERY", help="photo, from anywhere")
    search.add_argument("-k", type=COUNT, default=10, metavar="N", help="how many photos (default 10)")
    search.add_argument("--hamming", action="store_true", help="plain Hamming distance, without the query's real outputs")
    search.add_argument("--within", type=BITS, metavar="BITS", help="show only photos at most this far")
    distinct = "show equal files once; with BITS also photos whose codes differ in at most that many bits"
    search.add_argument("--distinct", type=BITS, nargs="?", const=-1.0, metavar="BITS", help=distinct)
    method = "ivf reads only the nearest lists: faster, approximate; for millions of photos"
    search.add_argument("--method", choices=("flat", "ivf"), default="flat", help=method)
    search.add_argument("--nprobe", type=COUNT, metavar="N", help="lists that ivf reads (default 128)")
    search.add_argument("--json", action="store_true", help="print JSON")
    search.add_argument("--html", type=PAGE, metavar="FILE", help="write a page that shows the photos (.html)")

    evaluate = commands.add_parser("evaluate", help="mean average precision of a network on a benchmark")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("benchmark", metavar="BENCHMARK", help="name, as in retrieval.benchmarks of params.yaml")
    evaluate.add_argument("--model", type=Path, required=True, metavar="FILE", help="checkpoint (.safetensors)")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
