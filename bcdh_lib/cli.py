"""The command `bcdh`: one's own photos, from a folder to a search.

    bcdh learn PHOTOS                            # the study on these photos: 3D models, pairs, networks, a report
    bcdh index PHOTOS --model MODEL              # a code for each photo
    bcdh search INDEX QUERY.jpg --html found.html
    bcdh evaluate pile --model MODEL             # mAP on a benchmark of the study, and with --distractors PHOTOS in it

Exit codes: 0 done, 1 something is wrong and said in a line, 2 the command is misspelt, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bcdh_lib.core.errors import StudyError

# What a subcommand needs is imported in it: `bcdh --help` does not wait for torch.
if TYPE_CHECKING:
    import pandas as pd

    from bcdh_lib.search.index_update import Update
    from bcdh_lib.search.photo_index import Hit
    from bcdh_lib.study import Study

METHODS = ("flat", "ivf", "multihash")  # own_photos.large_search's
LISTED = 10
"""Files left out that are named on the screen; the index lists all."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except StudyError as error:
        print(_line(error), file=sys.stderr)
        return 1


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _index(options: argparse.Namespace) -> int:
    from bcdh_lib.search.index_update import update

    folder = options.index or Path(f"{_name_of(options.photos)}.bcdh")
    study = study_of(options.model) if options.model else None
    done = update(folder, options.photos, options.model, study, options.recentre)
    if int(os.environ.get("RANK", "0")) == 0:  # one of several processes speaks for all
        print(_done(folder, done))
        _tell_left_out(done)
    return 0


def _name_of(photos: Path) -> str:
    """The name of a folder, or of a list without its ending."""
    return photos.resolve().stem if photos.is_file() else photos.resolve().name


def _done(folder: Path, done: Update) -> str:
    return f"{folder}: {done.photos:,} photos ({done.new:,} new, {done.anew:,} encoded anew, {done.gone:,} gone)"


def _tell_left_out(done: Update) -> None:
    if not done.left_out:
        return
    counts = ", ".join(f"{count:,} {reason}" for reason, count in Counter(one.reason for one in done.left_out).most_common())
    print(f"left out: {counts}", file=sys.stderr)
    for one in done.left_out[:LISTED]:
        print(f"  {one.path}: {one.reason} ({one.detail})", file=sys.stderr)
    if len(done.left_out) > LISTED:
        print(f"  and {len(done.left_out) - LISTED:,} more: left_out.parquet in the index lists all", file=sys.stderr)


def _search(options: argparse.Namespace) -> int:
    from bcdh_lib.core.files import write_bytes
    from bcdh_lib.search.contact_sheet import contact_sheet
    from bcdh_lib.search.photo_index import open_index

    index = open_index(options.index)
    found = index.search(options.queries, options.k, options.method, options.nprobe)
    if options.html:
        write_bytes(options.html, contact_sheet(index, options.queries, found).encode())
    print(_found_as_json(options.queries, found) if options.json else _found_as_text(options.queries, found))
    return 0


def _found_as_json(queries: list[Path], found: list[list[Hit]]) -> str:
    from bcdh_lib.photos.folder import path_in_table

    rows = zip(queries, found, strict=True)
    return json.dumps([{"query": path_in_table(query), "hits": [vars(hit) for hit in hits]} for query, hits in rows], indent=1)


def _found_as_text(queries: list[Path], found: list[list[Hit]]) -> str:
    """A line a hit, `distance path`, below a line that names the query."""
    from bcdh_lib.photos.folder import path_in_table

    lines = []
    for query, hits in zip(queries, found, strict=True):
        lines += [f"{path_in_table(query)}:", *(f"{hit.distance:4d}  {hit.path}" for hit in hits)]
    return "\n".join(lines)


def _learn(options: argparse.Namespace) -> int:
    from bcdh_lib.search.own_study import prepare_study, reproduce, settings_for

    into = options.into or Path(f"{options.photos.resolve().name}-study")
    if prepare_study(options.photos, into):
        said = ", ".join(f"{key}: {value}" for key, value in settings_for(options.photos).items())
        print(f"{into}: a study of its own, with the settings of params.yaml but {said}", flush=True)
    else:
        print(f"{into}: goes on, with the settings of its own params.yaml", flush=True)
    if options.prepare:
        return 0
    if reproduce(into) != 0:
        print(f"{into}: dvc repro failed, see above; the same command goes on where it was", file=sys.stderr)
        return 1
    print(f"{into / 'reports/site/index.html'}: what was learned, and how well it retrieves")
    print(f"Next: bcdh index {options.photos} --model {into / 'data/checkpoints'}/NAME.safetensors")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from bcdh_lib.params import Expansion, Options
    from bcdh_lib.search.evaluation import evaluate

    expansion, augmentation = (
        Expansion(neighbours=count, alpha=options.alpha) if count else None for count in (options.expand, options.augment)
    )
    chosen = Options(scales=options.scales, query_expansion=expansion, database_augmentation=augmentation)
    study = study_of(options.model)
    index = _indexed(options.distractors, options.model, study) if options.distractors and not options.recentre else None
    table = evaluate(study, options.benchmark, options.model, options.recentre, chosen, index or options.distractors)
    print(table.to_json(orient="records", indent=1) if options.json else _scores_as_text(table))
    return 0


def _indexed(distractors: Path, model: Path, study: Study) -> Path:
    """An index as it lies there; that of a folder or list, in a folder named by the model too, is made or brought up to date."""
    from bcdh_lib.search.index_update import digest_of_model, update

    if (distractors / "index.json").is_file():
        return distractors
    folder = Path(f"{_name_of(distractors)}-{digest_of_model(model)[:12]}.bcdh")
    done = update(folder, distractors, model, study)
    print(_done(folder, done), file=sys.stderr)
    _tell_left_out(done)
    return folder


def _scores_as_text(table: pd.DataFrame) -> str:
    """A line a row: mAP with its bounds over the orders of equal distances, by both rules of average precision."""
    import pandas as pd

    lines = [
        f"{table['benchmark'][0]}: {table['queries'][0]} queries, {table['empty'][0]} of them without an answer, left out",
        f"{'':30}{'mAP trapezoid':>15}{'worst to best':>17}{'mAP rectangle':>15}",
    ]
    for row in table.to_dict("records"):
        bits = "real" if pd.isna(row["bits"]) else f"{row['bits']} bits"
        name = row["option"] if not pd.isna(row["option"]) else ("recentred" if row["recentred"] else f"{row['method']}, {bits}")
        name = f"with {row['distractors']:,} distractors" if row["distractors"] else name
        bounds = f"{row['map_worst']:.3f} to {row['map_best']:.3f}"
        lines.append(f"{name:30}{row['map']:15.3f}{bounds:>17}{row['map_rectangle']:15.3f}")
    return "\n".join(lines)


def study_of(model: Path) -> Study:
    """The study around a checkpoint, else the one around the working directory. Raises FileNotFoundError, StudyError."""
    from bcdh_lib.study import find_root, open_study

    try:
        return open_study(root=find_root(model.parent))
    except FileNotFoundError:
        return open_study()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bcdh", description="One's own photos: from a folder to a search by binary codes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    learn = commands.add_parser("learn", help="learn from a folder of photos: 3D models, pairs, networks, a report")
    learn.set_defaults(run=_learn)
    learn.add_argument("photos", type=Path, metavar="PHOTOS", help="folder; it is only read")
    learn.add_argument("--into", type=Path, metavar="FOLDER", help="the study's own folder (default: NAME-study here)")
    learn.add_argument("--prepare", action="store_true", help="make the folder and run nothing, to edit its params.yaml first")

    index = commands.add_parser("index", help="encode a folder of photos, or what changed in it since")
    index.set_defaults(run=_index)
    index.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="folder, with all below it, or list (.txt, a path a line); they are only read"
    )
    index.add_argument("--model", type=Path, metavar="FILE", help="checkpoint (.safetensors); an index there is has its own")
    index.add_argument("--index", type=Path, metavar="FOLDER", help="where the index lies (default: NAME.bcdh here)")
    index.add_argument(
        "--recentre",
        action="store_true",
        help="encode all photos anew, with the bits' thresholds at the mean over them; later updates keep these thresholds "
        "until it is given again. For hundreds of photos or more",
    )

    search = commands.add_parser("search", help="find the photos whose codes are nearest to a photo's")
    search.set_defaults(run=_search)
    search.add_argument("index", type=Path, metavar="INDEX", help="folder that `bcdh index` wrote")
    search.add_argument("queries", type=Path, nargs="+", metavar="QUERY", help="photo, from anywhere")
    search.add_argument("-k", type=_count, default=10, metavar="N", help="how many (default 10)")
    search.add_argument(
        "--method",
        choices=METHODS,
        default="flat",
        help="for millions of photos: ivf or multihash find most of the nearest, sooner; the first such search makes a file",
    )
    search.add_argument(
        "--nprobe", type=_count, metavar="N", help="how far they look: lists of ivf (default 128), flipped bits of multihash (1)"
    )
    search.add_argument("--json", action="store_true", help="print JSON")
    search.add_argument("--html", type=Path, metavar="FILE", help="write a page that shows the photos")

    evaluate = commands.add_parser("evaluate", help="mean average precision of a network on a benchmark")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("benchmark", metavar="BENCHMARK", help="name, as in retrieval.benchmarks of params.yaml")
    evaluate.add_argument("--model", type=Path, required=True, metavar="FILE", help="checkpoint (.safetensors)")
    evaluate.add_argument("--recentre", action="store_true", help="also with the thresholds at the mean over the database")
    evaluate.add_argument(
        "--distractors",
        type=Path,
        metavar="PHOTOS",
        help="also with these in the database: a folder, a list (.txt, a path a line), or an index that is used as it is",
    )
    evaluate.add_argument(
        "--scales",
        type=_scale,
        nargs="+",
        default=[1.0],
        metavar="S",
        help="also with photos encoded at these shares of the network's side, as 1 0.71",
    )
    evaluate.add_argument("--expand", type=_count, metavar="N", help="also with queries expanded by their N nearest photos")
    evaluate.add_argument("--augment", type=_count, metavar="N", help="also with every photo of the database expanded likewise")
    evaluate.add_argument(
        "--alpha",
        type=_alpha,
        default=3.0,
        metavar="A",
        help="a neighbour's weight is similarity^A (default 3)",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _scale(text: str) -> float:
    return _real(text, lambda scale: 0 < scale <= 8, "a number above 0, at most 8")


def _alpha(text: str) -> float:
    return _real(text, lambda alpha: 0 <= alpha < float("inf"), "a number from 0")


def _real(text: str, allowed: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"{text}: must be {wanted}")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
