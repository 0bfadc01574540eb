"""The comparison: every method at every code length with every seed, tuned alike, scored on all benchmarks.

    python -m bcdh_lib.comparison.matrix --side-by-side        # make study: tunes, runs what is not finished, summarises
    python -m bcdh_lib.comparison.matrix                       # the same in this one process, on run.threads threads
    python -m bcdh_lib.comparison.matrix --only dch lsh        # these methods alone
    python -m bcdh_lib.comparison.matrix --share 2/4           # every fourth piece of work, from the second
    python -m bcdh_lib.comparison.matrix --summary             # from the cells that are there

A cell is a method at a code length with a seed. Each finished cell is a file of its own in reports/study/cells, with a row a
query and what it was made with in the file's metadata; a run that was killed goes on after it, and a cell of other settings,
code or data is refused. Benchmarks are opened only after all tuning is done. After the cells come the same methods started from
the float parent (bcdh_lib.comparison.from_parent), then the ablations (bcdh_lib.comparison.ablations).

A trained cell has a companion, METHOD_recentred: the same outputs with each bit's threshold moved to its mean over the database.

Shallow codes, and what needs no training (comparison/untrained.py), are compared too: the pretrained network's vectors and
SIFT's, as they are and as shallow codes. A method's name says what is coded: `itq` is of the float parent's vectors,
`pretrained_itq`, `whitened_itq`, `sift_vlad_itq` and so on of others.

Several machines that share this folder each take a share and end with the same files; several GPUs or cores of one machine do
by themselves (--side-by-side):

    .venv/bin/python -m bcdh_lib.comparison.matrix --share 2/3     # on the second of three machines, one GPU each

Every cell trains on the one training set, whose augmented views come from the seed of params.yaml; a cell's own seed draws its
batches and starts its hash layer. Shallow codes are fitted to the vectors of the float parent of the same seed.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator
from tqdm import tqdm

from bcdh_lib.comparison.ablations import FOLDER as ABLATED
from bcdh_lib.comparison.ablations import Ablations, ablated, supply_made_with
from bcdh_lib.comparison.bit_statistics import bit_statistics, gradient_statistics
from bcdh_lib.comparison.cells import RECENTRED, Cell, Unit, is_finished, write_cell
from bcdh_lib.comparison.from_parent import FOLDER as STARTED_FROM_PARENT
from bcdh_lib.comparison.from_parent import FromParent, load_parent, network_path, parent_cell, started_from_parent
from bcdh_lib.comparison.outputs import Outputs, keep_benchmarks, outputs_of
from bcdh_lib.comparison.pair_supply import Supply, supplied, whole_pile
from bcdh_lib.comparison.provenance import code_of_coder, digest_of, log, made_with, work_folder, write_provenance
from bcdh_lib.comparison.shares import run_shares
from bcdh_lib.comparison.summary import write_summary
from bcdh_lib.comparison.tuning import (
    PAUSE,
    Configuration,
    Share,
    Tuning,
    choose,
    configured,
    read_chosen,
    read_trial,
    trials_of,
    tune,
    write_trials,
)
from bcdh_lib.comparison.untrained import (
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
from bcdh_lib.core.code import code_digest
from bcdh_lib.core.codes import pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.metrics import precision_at_recall
from bcdh_lib.core.recentring import pack_recentred
from bcdh_lib.core.settings import NotNegative, Section, first_fault, read_yaml
from bcdh_lib.core.text import one_line
from bcdh_lib.params import Params
from bcdh_lib.retrieval.benchmarks import Benchmark
from bcdh_lib.retrieval.score import FLOAT, OURS, RECALLS, Coded, System, query_rows, read_benchmarks, ties_between
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow
from bcdh_lib.study import Study, open_study
from bcdh_lib.training.losses import LOSSES, loss_of, make_loss
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.train import train_run
from bcdh_lib.training.training_set import TrainingSet, device, load_training_set, prepare


class Plan(Section):
    """study.yaml: what is compared."""

    methods: Annotated[list[str], Field(min_length=1)]
    bits: Annotated[list[Annotated[int, Field(gt=0, multiple_of=8)]], Field(min_length=1)]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    words: Words
    chosen: str | None = None
    tuning: Tuning
    from_parent: FromParent | None = None
    ablations: Ablations | None = None

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
        if self.from_parent and set(self.from_parent.seeds) - set(self.seeds):
            raise ValueError("from_parent.seeds: must be among seeds, whose float parents are trained")
        return self

    def later_cells(self) -> list[Cell]:
        """The cells after the comparison's own."""
        started = self.from_parent.cells(self.methods, self.bits) if self.from_parent else []
        return started + (self.ablations.cells() if self.ablations else [])


def load_plan(path: Path) -> Plan:
    """The plan of a file. Raises StudyError, one line, where it cannot be read or is not valid."""
    try:
        return Plan.model_validate(read_yaml(path))
    except ValidationError as error:
        raise StudyError(f"{path}: {first_fault(error)}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); restore it with: git checkout study.yaml") from None


def units_of(study: Study, plan: Plan, only: Sequence[str] = ()) -> list[Unit]:
    """The plan's work, seed by seed. With `only`, these methods alone, and the vectors that one of them is fitted to."""
    units = []
    for seed in plan.seeds:
        shallow = tuple(Cell(method, bits, seed, method) for method in SHALLOW for bits in plan.bits)
        units.append(Unit(Cell(FLOAT, None, seed), shallow))
        units += [_with_recentred(Cell(method, bits, seed)) for method in plan.methods for bits in plan.bits]
        units += untrained_units(study, plan.bits, seed)
    sources, fitted = [unit.source for unit in units], [cell for unit in units for cell in unit.shallow]
    known = list(dict.fromkeys(cell.method for cell in sources + fitted))
    for method in only:
        if method not in known:
            raise StudyError(f"--only {method}: is not among {', '.join(known)}")
    return [part for unit in units if (part := unit.only(only))]


def _with_recentred(cell: Cell) -> Unit:
    return Unit(cell, (Cell(f"{cell.method}{RECENTRED}", cell.bits, cell.seed, RECENTRED),))


def run_study(study: Study, plan: Plan, only: Sequence[str] = (), share: Share | None = None) -> None:
    """Tune, run this share's unfinished cells, and write the summary once the whole plan is finished.

    Raises StudyError where the study's data are not there, StudyError where a finished trial or cell is another's.
    """
    share = share or Share()
    check_data(study)
    prepare(study.params)
    if share.number == 1:
        write_provenance(study)
    training_set = functools.cache(lambda: load_training_set(study))
    units = units_of(study, plan, only)
    later = [] if only else [Unit(cell) for cell in plan.later_cells()]
    trained = [unit.source.method for unit in units if unit.source.method not in CODERS] + [OURS] * bool(later)
    chosen = tuned(study, plan, list(dict.fromkeys(trained)), share, training_set) if trained else {}
    benchmarks = read_benchmarks(study)
    scored_on = {benchmark.name: digest_of_benchmark(benchmark) for benchmark in benchmarks}
    material = material_of(study, benchmarks, training_set)
    jobs = [job_of(study, plan, unit, chosen, scored_on) for unit in share.part(units) + share.part(later)]
    total, pending = sum(len(job.unit.cells) for job in jobs), sum(len(job.pending) for job in jobs)
    with tqdm(desc="cells", unit="cell", total=total, initial=total - pending) as bar:
        for job in jobs:
            if job.pending:
                run_unit(job, material)
                bar.update(len(job.pending))
    if all(cell.path(study).is_file() for cell in all_cells(study, plan)):
        forget_descriptors(study)
        write_summary(study)


def all_cells(study: Study, plan: Plan) -> list[Cell]:
    """Every cell of the plan, the later ones too."""
    return [cell for unit in units_of(study, plan) for cell in unit.cells] + plan.later_cells()


def material_of(study: Study, benchmarks: list[Benchmark], training_set: Callable[[], TrainingSet]) -> Material:
    """What the cells are made from, each part when it is first asked for."""
    kept = functools.cache(lambda: keep_benchmarks(study, benchmarks))
    plain_or_whitened = functools.cache(lambda method: network_vectors(study, method, training_set(), kept()))
    descriptors = functools.cache(lambda: read_descriptors(study, benchmarks))
    whole = functools.cache(lambda: whole_pile(study, training_set()))
    other = functools.lru_cache(maxsize=1)(lambda supply, seed: supplied(study, training_set(), whole, supply, seed))
    parent = functools.lru_cache(maxsize=1)(lambda seed: awaited_parent(study, seed))
    return Material(benchmarks, training_set, other, parent, kept, plain_or_whitened, descriptors)


def check_data(study: Study) -> None:
    """Raise StudyError where the pipeline has not made what is compared on. Looks at names only, opens nothing."""
    tables = [study.photos / "photos.parquet", study.pairs / "members.parquet", study.pairs / "pairs.parquet"]
    folders = [study.benchmarks / name for name in study.params.retrieval.benchmarks if name != "collection"]
    for path in tables + folders:
        if not path.exists():
            raise StudyError(f"{path}: is not there; make it first with: make repro")


def tuned(
    study: Study, plan: Plan, methods: Sequence[str], share: Share, training_set: Callable[[], TrainingSet]
) -> dict[str, Configuration]:
    """The best configuration of each method, after the trials that lack are run; the first share keeps the tables of trials.
    Where the plan names another study's choice, that, and nothing is tuned.
    """
    if plan.chosen:
        return read_chosen(study.root / plan.chosen, methods, study.params)
    tune(study, trials_of(plan.tuning, methods, study.params), share, training_set)
    rows = []
    for method in (FLOAT, *plan.methods):
        found = [read_trial(study, trial) for trial in trials_of(plan.tuning, [method], study.params)]
        rows += [row for row in found if row] if None not in found else []
    if share.number == 1:
        write_trials(study, rows)
    return {method: best["configuration"] for method, best in choose(rows).items()}


def job_of(study: Study, plan: Plan, unit: Unit, chosen: dict[str, Configuration], scored_on: dict[str, str]) -> Job:
    """A unit with its settings: its seed's and, where it is trained, those of the run."""
    cell, supply, parent = unit.source, None, None
    if cell.method in CODERS:
        params = study.params.model_copy(update={"run": study.params.run.model_copy(update={"seed": cell.seed})})
    elif plan.ablations and cell.folder == ABLATED:
        ablation = plan.ablations.each[cell.method]
        params, supply = ablated(study.params, ablation, cell, chosen[OURS]), ablation.supply
    elif cell.folder == STARTED_FROM_PARENT:
        params = configured(started_from_parent(study.params), cell.method, cell.bits, cell.seed, chosen[cell.method])
        parent = configured(study.params, FLOAT, None, cell.seed, chosen[FLOAT])
    else:
        params = configured(study.params, cell.method, cell.bits, cell.seed, chosen[cell.method])
    return Job(study, unit, params, plan.words, scored_on, supply, parent)


def digest_of_benchmark(benchmark: Benchmark) -> str:
    """Digest of a benchmark's photos, queries and what answers them."""
    asked = [(q.name, q.photo, q.box, sorted(q.positives), sorted(q.junk)) for q in benchmark.queries]
    files = [*benchmark.photos.values(), *benchmark.query_photos.values()]
    return digest_of(files, repr((list(benchmark.photos), asked)))


@dataclass(frozen=True)
class Job:
    """A unit with its settings, and digests of the benchmarks by name: what is to do, and what it is made with.

    parent: the settings of the float parent that it starts from.
    """

    study: Study
    unit: Unit
    params: Params
    words: Words
    scored_on: dict[str, str]
    supply: Supply | None = None
    parent: Params | None = None

    @functools.cached_property
    def source_made_with(self) -> dict[str, Any]:
        """What decides the network, or the vectors that no training precedes."""
        source = self.unit.source
        if source.method in CODERS:
            return untrained_made_with(self.study, source.method, source.seed, self.words)
        made = made_with(self.study, self.params) | (supply_made_with(self.supply, source.seed) if self.supply else {})
        return made | ({"parent": made_with(self.study, self.parent)} if self.parent else {})

    @functools.cached_property
    def pending(self) -> list[Cell]:
        """The cells that were not finished before. Raises StudyError where a finished one is another's."""
        return [cell for cell in self.unit.cells if not is_finished(cell.path(self.study), self.made_with(cell))]

    def made_with(self, cell: Cell) -> dict[str, Any]:
        """What decides a cell's rows."""
        made = self.source_made_with | {"benchmarks": self.scored_on, "radius": self.params.retrieval.radius}
        if cell.coder == RECENTRED:
            made["coder"] = {"method": RECENTRED, "code": code_digest("bcdh_lib.core.recentring")}
        elif cell.coder:
            made["coder"] = {"method": cell.coder, "bits": cell.bits, "code": code_of_coder(cell.coder)}
        return made


def run_unit(job: Job, material: Material) -> None:
    """Make a unit's vectors, after training where it is to be trained, then score and write its unfinished cells.

    The network of a trained cell stays in work/study/networks, to be looked at or tried on other photos.
    """
    source, started = job.unit.source, time.monotonic()
    if source.method in CODERS:
        write_cells(job, material.benchmarks, untrained_vectors(source.method, source.seed, job.words, material), {})
    else:
        work = work_folder(job.study.root, source.name, job.source_made_with)
        training_set = material.supplied(job.supply, source.seed) if job.supply else material.training_set()
        parent = material.parent(source.seed) if job.parent else None
        history = train_run(training_set, job.params, job.params.training.runs[0], work, parent)
        network = load_checkpoint(work / "best.safetensors")[0].to(device())
        outputs = outputs_of(network, training_set, material.kept())
        statistics = statistics_of(network, outputs.training, training_set, job.params)
        if source.folder == "cells":
            keep_network(job.study, source, work)
        write_cells(job, material.benchmarks, outputs, {"history": history, "statistics": statistics})
        shutil.rmtree(work)
    log(job.study, source.folder, source.name, time.monotonic() - started)


def statistics_of(
    network: HashNetwork, outputs: np.ndarray, training_set: TrainingSet, params: Params
) -> dict[str, float] | None:
    """How the bits behave and what still moves them; None for real vectors. outputs: of the training photos, [n, L]."""
    run = params.training.runs[0]
    if run.bits is None:
        return None
    loss = make_loss(run.method, run.bits, params.losses[loss_of(run.method)]).to(device())
    loss.advance(1.0)
    gradients = gradient_statistics(network, loss, training_set, params)
    return bit_statistics(outputs, training_set.group[training_set.train]) | gradients


def awaited_parent(study: Study, seed: int) -> HashNetwork:
    """The float parent that the cells of a seed start from, once its own cell is finished, whichever process trains it."""
    while not parent_cell(seed).path(study).is_file():
        time.sleep(PAUSE)
    return load_parent(study, seed).to(device())


def keep_network(study: Study, cell: Cell, work: Path) -> None:
    """Copy a cell's best network to work/study/networks, before the cell is finished: a killed run still needs its own."""
    for ending in (".safetensors", ".json"):
        write_bytes(network_path(study, cell).with_suffix(ending), (work / f"best{ending}").read_bytes())


def write_cells(job: Job, benchmarks: Sequence[Benchmark], outputs: Outputs, facts: dict[str, Any]) -> None:
    """Score and write a unit's unfinished cells, from its outputs or vectors; `facts` are the source's."""
    seeded = Study(job.study.root, job.params)  # its rows bear the cell's seed
    for cell in job.pending:
        code, rows, curves = coder_of(cell, outputs.training), [], {}
        for benchmark, parts in zip(benchmarks, outputs.parts, strict=True):
            ties = ties_between(benchmark, code(parts["queries"], parts["database"]))
            rows.append(query_rows(seeded, benchmark, System(cell.method, cell.bits), ties))
            curves[benchmark.name] = np.nanmean(precision_at_recall(ties, RECALLS), axis=0).round(6).tolist()
        noted = {"curves": curves} | (facts if cell == job.unit.source else {})
        write_cell(job.study, cell, pd.concat(rows, ignore_index=True), job.made_with(cell), noted)


def coder_of(cell: Cell, vectors: np.ndarray) -> Callable[[np.ndarray, np.ndarray], Coded]:
    """What turns outputs of queries and database into what is compared: signs, signs about the database's mean, the vectors
    themselves, or shallow codes fitted to training vectors.
    """
    if cell.coder == RECENTRED:
        return pack_recentred
    if not cell.bits:
        return lambda queries, database: (queries, database)
    code = fit_shallow(cell.coder, vectors, cell.bits, cell.seed) if cell.coder else np.asarray
    return lambda queries, database: (pack(code(queries)), pack(code(database)))


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 where all is done, 1 where it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bcdh_lib.comparison.matrix", description="Run the comparison of study.yaml, or go on with it."
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
    parser.add_argument(
        "--side-by-side", action="store_true", help="a share a GPU, or else a CPU core, each a process of its own"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of this process; default: run.threads")
    parser.add_argument("--summary", action="store_true", help="summarise the cells that are there, and run none")
    options = parser.parse_args(arguments)
    try:
        study = open_study({"run": {"threads": options.threads}}) if options.threads else open_study()
        if options.summary:
            write_summary(study)
        elif options.side_by_side:
            plan = load_plan(study.root / "study.yaml")
            run_shares(study, [cell.path(study) for cell in all_cells(study, plan)], options.only)
        else:
            run_study(study, load_plan(study.root / "study.yaml"), options.only, options.share)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except StudyError as error:
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
