"""The comparison: every method at every code length with every seed, tuned alike, scored on all benchmarks.

    python -m bcdh_lib.matrix                       # make study: tunes, runs what is not finished, and summarises
    python -m bcdh_lib.matrix --only dch lsh        # these methods alone
    python -m bcdh_lib.matrix --share 2/4           # every fourth piece of work, from the second
    python -m bcdh_lib.matrix --summary             # from the cells that are there

A cell is a method at a code length with a seed. Each finished cell is a file of its own in reports/study/cells, with a row a
query and what it was made with in the file's metadata; a run that was killed goes on after it, and a cell of other settings,
code or data is refused. Benchmarks are opened only after all tuning is done.

Beside trained methods stand shallow codes, and what needs no training (bcdh_lib.untrained): the pretrained network's vectors and
SIFT's, as they are and as shallow codes. A method's name says what is coded: `itq` is of the float parent's vectors,
`pretrained_itq`, `whitened_itq`, `sift_vlad_itq` and so on of others.

Several GPUs or machines that share this folder each take a share, one process a GPU, and end with the same files:

    for k in 0 1 2 3; do CUDA_VISIBLE_DEVICES=$k .venv/bin/python -m bcdh_lib.matrix --share $((k + 1))/4 & done; wait

Every cell trains on the one training set, whose augmented views come from the seed of params.yaml; a cell's own seed draws its
batches and starts its hash layer. Shallow codes are fitted to the vectors of the float parent of the same seed.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, ValidationError, model_validator
from scipy.stats import t as student
from tqdm import tqdm

from bcdh_lib.benchmarks import Benchmark, BenchmarkError, folder_of
from bcdh_lib.cells import Cell, CellError, Unit, is_finished, read_cells, write_cell
from bcdh_lib.codes import CodesError, distances, pack
from bcdh_lib.losses import LOSSES
from bcdh_lib.metrics import ties_of_distances
from bcdh_lib.network import NetworkError, load_checkpoint
from bcdh_lib.outputs import Outputs, keep_benchmarks, outputs_of
from bcdh_lib.params import NotNegative, Params, ParamsError, Section, first_fault
from bcdh_lib.provenance import ProvenanceError, code_of_coder, digest_of, made_with, work_folder
from bcdh_lib.reconstruction.colmap import ReconstructionError
from bcdh_lib.retrieval import FLOAT, OURS, System, query_rows, read_benchmarks
from bcdh_lib.shallow import SHALLOW, ShallowError, fit
from bcdh_lib.sift_vectors import SiftError
from bcdh_lib.significance import against_each, differences_of
from bcdh_lib.study import Study, open_study
from bcdh_lib.tables import TableError, write_bytes
from bcdh_lib.training import TrainingError, train_run
from bcdh_lib.training_set import TrainingSet, device, load_training_set, prepare
from bcdh_lib.tuning import (
    Configuration,
    Share,
    Tuning,
    TuningError,
    choose,
    configured,
    read_trial,
    trials_of,
    tune,
    write_trials,
)
from bcdh_lib.untrained import (
    CODERS,
    Material,
    Words,
    forget_descriptors,
    network_vectors,
    read_descriptors,
    untrained_made_with,
    untrained_units,
    untrained_vectors,
)
from bcdh_lib.views import ViewError
from bcdh_lib.workers import WorkerError

LEVEL = 0.05


class MatrixError(ValueError):
    """A comparison that cannot be run or summarised; the message says what lacks and the mend."""


FAULTS = (
    MatrixError,
    CellError,
    TuningError,
    ProvenanceError,
    ParamsError,
    TableError,
    BenchmarkError,
    ViewError,
    NetworkError,
    TrainingError,
    CodesError,
    ShallowError,
    SiftError,
    ReconstructionError,
    WorkerError,
    FileNotFoundError,
)
"""What the command line tells in a line."""


class Plan(Section):
    """study.yaml: what is compared."""

    methods: Annotated[list[str], Field(min_length=1)]
    bits: Annotated[list[Annotated[int, Field(gt=0, multiple_of=8)]], Field(min_length=1)]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    words: Words
    tuning: Tuning

    @model_validator(mode="after")
    def methods_tunable(self) -> Plan:
        for method in self.methods:
            if method not in LOSSES:
                raise ValueError(f"methods: {method} is unknown; known: {', '.join(LOSSES)}")
        lacking = {FLOAT, *self.methods} - self.tuning.ranges.keys()
        if lacking:
            raise ValueError(f"tuning.ranges: {min(lacking)} has none")
        if set(self.seeds) & set(self.tuning.seeds):
            raise ValueError("tuning.seeds: must be none of seeds")
        return self


def load_plan(path: Path) -> Plan:
    """The plan of a file. Raises MatrixError, one line, where it cannot be read or is not valid."""
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MatrixError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); restore it with: git checkout study.yaml"
        ) from None
    except ValidationError as error:
        raise MatrixError(f"{path}: {first_fault(error)}") from None


def units_of(study: Study, plan: Plan, only: Sequence[str] = ()) -> list[Unit]:
    """The plan's work, seed by seed. With `only`, these methods alone, and the vectors that one of them is fitted to."""
    units = []
    for seed in plan.seeds:
        shallow = tuple(Cell(method, bits, seed, method) for method in SHALLOW for bits in plan.bits)
        units.append(Unit(Cell(FLOAT, None, seed), shallow))
        units += [Unit(Cell(method, bits, seed)) for method in plan.methods for bits in plan.bits]
        units += untrained_units(study, plan.bits, seed)
    sources, fitted = [unit.source for unit in units], [cell for unit in units for cell in unit.shallow]
    known = list(dict.fromkeys(cell.method for cell in sources + fitted))
    for method in only:
        if method not in known:
            raise MatrixError(f"--only {method}: is not among {', '.join(known)}")
    return [part for unit in units if (part := unit.only(only))]


def run_study(study: Study, plan: Plan, only: Sequence[str] = (), share: Share | None = None) -> None:
    """Tune, run this share's unfinished cells, and write the summary once the whole plan is finished.

    Raises MatrixError where the study's data are not there, ProvenanceError where a finished trial or cell is another's.
    """
    share = share or Share()
    check_data(study)
    prepare(study.params)
    training_set = functools.cache(lambda: load_training_set(study))
    units = units_of(study, plan, only)
    trained = list(dict.fromkeys(unit.source.method for unit in units if unit.source.method not in CODERS))
    chosen = tuned(study, plan, trained, share, training_set) if trained else {}
    benchmarks = read_benchmarks(study)
    kept = functools.cache(lambda: keep_benchmarks(study, benchmarks))
    plain_or_whitened = functools.cache(lambda method: network_vectors(study, method, training_set(), kept()))
    descriptors = functools.cache(lambda: read_descriptors(study, benchmarks))
    material = Material(benchmarks, training_set, kept, plain_or_whitened, descriptors)
    scored_on = {benchmark.name: digest_of_benchmark(benchmark) for benchmark in benchmarks}
    jobs = [Job(study, unit, settings_of(study, unit, chosen), plan.words, scored_on) for unit in share.part(units)]
    total, pending = sum(len(job.unit.cells) for job in jobs), sum(len(job.pending) for job in jobs)
    with tqdm(desc="cells", unit="cell", total=total, initial=total - pending) as bar:
        for job in jobs:
            if job.pending:
                run_unit(job, material)
                bar.update(len(job.pending))
    if all(cell.path(study).is_file() for unit in units_of(study, plan) for cell in unit.cells):
        forget_descriptors(study)
        write_summary(study)


def check_data(study: Study) -> None:
    """Raise MatrixError where the pipeline has not made what is compared on. Looks at names only, opens nothing."""
    tables = [study.photos / "photos.parquet", study.pairs / "members.parquet", study.pairs / "pairs.parquet"]
    folders = [folder_of(study, name) for name in study.params.retrieval.benchmarks if name != "pile"]
    for path in tables + folders:
        if not path.exists():
            raise MatrixError(f"{path}: is not there; make it first with: make repro")


def tuned(
    study: Study, plan: Plan, methods: Sequence[str], share: Share, training_set: Callable[[], TrainingSet]
) -> dict[str, Configuration]:
    """The best configuration of each method, after the trials that lack are run; the first share keeps the tables of trials."""
    tune(study, trials_of(plan.tuning, methods, study.params), share, training_set)
    rows = []
    for method in (FLOAT, *plan.methods):
        found = [read_trial(study, trial) for trial in trials_of(plan.tuning, [method], study.params)]
        rows += [row for row in found if row] if None not in found else []
    if share.number == 1:
        write_trials(study, rows)
    return {method: best["configuration"] for method, best in choose(rows).items()}


def settings_of(study: Study, unit: Unit, chosen: dict[str, Configuration]) -> Params:
    """Settings that a unit is made with: its seed's and, where it is trained, those of the run."""
    cell = unit.source
    if cell.method in CODERS:
        return study.params.model_copy(update={"run": study.params.run.model_copy(update={"seed": cell.seed})})
    return configured(study.params, cell.method, cell.bits, cell.seed, chosen[cell.method])


def digest_of_benchmark(benchmark: Benchmark) -> str:
    """Digest of a benchmark's photos, queries and what answers them."""
    asked = [(q.name, q.photo, q.box, sorted(q.positives), sorted(q.junk)) for q in benchmark.queries]
    files = [*benchmark.photos.values(), *benchmark.query_photos.values()]
    return digest_of(files, repr((list(benchmark.photos), asked)))


@dataclass(frozen=True)
class Job:
    """A unit with its settings, and digests of the benchmarks by name: what is to do, and what it is made with."""

    study: Study
    unit: Unit
    params: Params
    words: Words
    scored_on: dict[str, str]

    @functools.cached_property
    def source_made_with(self) -> dict[str, Any]:
        """What decides the network, or the vectors that no training precedes."""
        source = self.unit.source
        if source.method in CODERS:
            return untrained_made_with(self.study, source.method, source.seed, self.words)
        return made_with(self.study, self.params)

    @functools.cached_property
    def pending(self) -> list[Cell]:
        """The cells that were not finished before. Raises ProvenanceError where a finished one is another's."""
        return [cell for cell in self.unit.cells if not is_finished(cell.path(self.study), self.made_with(cell))]

    def made_with(self, cell: Cell) -> dict[str, Any]:
        """What decides a cell's rows."""
        made = self.source_made_with | {"benchmarks": self.scored_on, "radius": self.params.retrieval.radius}
        if cell.coder:
            made["coder"] = {"method": cell.coder, "bits": cell.bits, "code": code_of_coder(cell.coder)}
        return made


def run_unit(job: Job, material: Material) -> None:
    """Make a unit's vectors, after training where it is to be trained, then score and write its unfinished cells."""
    source, params = job.unit.source, job.params
    if source.method in CODERS:
        vectors = untrained_vectors(source.method, source.seed, job.words, material)
        write_cells(job, material.benchmarks, vectors)
        return
    work = work_folder(job.study.root, source.name, job.source_made_with)
    train_run(material.training_set(), params, params.training.runs[0], work)
    network = load_checkpoint(work / "best.safetensors")[0].to(device())
    write_cells(job, material.benchmarks, outputs_of(network, material.training_set(), material.kept()))
    shutil.rmtree(work)


def write_cells(job: Job, benchmarks: Sequence[Benchmark], outputs: Outputs) -> None:
    """Score and write a unit's unfinished cells, from its outputs or vectors."""
    seeded = Study(job.study.root, job.params)  # its rows bear the cell's seed
    for cell in job.pending:
        code = coder_of(cell, outputs.training)
        rows = [
            score(seeded, benchmark, cell, code(parts["queries"]), code(parts["database"]))
            for benchmark, parts in zip(benchmarks, outputs.parts, strict=True)
        ]
        write_cell(job.study, cell, pd.concat(rows, ignore_index=True), job.made_with(cell))


def coder_of(cell: Cell, vectors: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What turns outputs into what is compared: signs, the vectors themselves, or shallow codes fitted to training vectors."""
    if cell.coder:
        return fit(cell.coder, vectors, cell.bits or 0, cell.seed)
    return pack if cell.bits else lambda outputs: outputs


def score(study: Study, benchmark: Benchmark, cell: Cell, queries: np.ndarray, database: np.ndarray) -> pd.DataFrame:
    """Rows of the table `queries` for one cell on one benchmark."""
    system = System(cell.method, cell.bits)
    ties = ties_of_distances(distances(queries, database), benchmark.positive(), benchmark.junk())
    return query_rows(study, benchmark, system, ties)


def summarise_cells(queries: pd.DataFrame) -> pd.DataFrame:
    """A row a benchmark, method and code length: seeds, mean mAP over them, its 95 % interval, share of the float parent's mAP.

    The interval is Student's t over the seeds' mAP; NaN with one seed. mAP leaves out queries without positives. The share is of
    means over the seeds; NaN where there is no float parent.
    """
    keys = ["benchmark", "method", "bits"]
    answered = queries[queries["positives"] > 0]
    by_seed = answered.groupby([*keys, "seed"], dropna=False)["ap"].mean()
    table = by_seed.groupby(keys, dropna=False).agg(seeds="size", map="mean", deviation="std").reset_index()
    half = student.ppf(0.975, table["seeds"] - 1) * table["deviation"] / np.sqrt(table["seeds"])
    parents = table[table["method"] == FLOAT].set_index("benchmark")["map"]
    table["low"], table["high"] = table["map"] - half, table["map"] + half
    table["share_of_float"] = table["map"] / table["benchmark"].map(parents)
    return table.drop(columns="deviation")


def against(queries: pd.DataFrame) -> pd.DataFrame:
    """significance.against_each of our method, with the verdict (win, tie or loss at the level .05 after Holm), and of how many
    queries our mean AP over the seeds is the better one (`wins`), equal (`ties`) or the worse one (`losses`).

    Codes are compared with codes of their length alone: real vectors, trained or not, have none and stand only in the summary.
    """
    table = against_each(queries, OURS)
    counts = []
    for benchmark, bits, method in table[["benchmark", "bits", "method"]].itertuples(index=False, name=None):
        differences = differences_of(queries[queries["benchmark"] == benchmark], OURS, method, bits).groupby("query").mean()
        signs = np.sign(differences.round(12))
        counts.append({"wins": (signs > 0).sum(), "ties": (signs == 0).sum(), "losses": (signs < 0).sum()})
    verdict = np.select([table["p_holm"] >= LEVEL, table["difference"] > 0], ["tie", "win"], default="loss")
    return pd.concat([table.assign(verdict=verdict), pd.DataFrame(counts, columns=["wins", "ties", "losses"])], axis=1)


def write_summary(study: Study) -> None:
    """reports/study/summary.csv and against.csv, of all cells that are there; and a line that counts the verdicts."""
    queries = read_cells(study)
    compared = against(queries)
    for name, table in (("summary", summarise_cells(queries)), ("against", compared)):
        write_bytes(study.reports / f"study/{name}.csv", table.to_csv(index=False, float_format="%.6f").encode())
    counts = compared["verdict"].value_counts()
    told = ", ".join(
        f"{counts.get(verdict, 0)} {word}" for verdict, word in (("win", "wins"), ("tie", "ties"), ("loss", "losses"))
    )
    print(f"reports/study/summary.csv, against.csv: {OURS} against each: {told}")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 where all is done, 1 where it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bcdh_lib.matrix", description="Run the comparison of study.yaml, or go on with it."
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="METHOD", help="run these methods alone")
    parser.add_argument(
        "--share",
        type=_share,
        default=Share(),
        metavar="K/N",
        help="run every N-th piece of work, from the K-th (1 to N): one process each on several GPUs (CUDA_VISIBLE_DEVICES) or "
        "machines that share this folder; a share waits for the others' trials, and the last to end writes the summary",
    )
    parser.add_argument("--summary", action="store_true", help="summarise the cells that are there, and run none")
    options = parser.parse_args(arguments)
    try:
        study = open_study()
        if options.summary:
            write_summary(study)
        else:
            run_study(study, load_plan(study.root / "study.yaml"), options.only, options.share)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except FAULTS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _share(text: str) -> Share:
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text}: must be K/N with K from 1 to N, as in 2/4")
    return Share(int(found[1]), int(found[2]))


if __name__ == "__main__":
    sys.exit(main())
