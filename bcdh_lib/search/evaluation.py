"""One checkpoint on one benchmark: as the study scores it, recentred on the database, with options, with distractors."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bcdh_lib.core.codes import pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.metrics import Ties
from bcdh_lib.core.recentring import pack_recentred
from bcdh_lib.params import Options
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmark
from bcdh_lib.retrieval.options import alone_and_together, option_summary
from bcdh_lib.retrieval.scales import encode_at, sides_by_folder
from bcdh_lib.retrieval.score import Coded, System, parts_of, query_rows, summarise, ties_between
from bcdh_lib.search.distractors import among, codes_without, counted, open_distractors
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.training_set import device, prepare

OFF = Options()


def evaluate(
    study: Study,
    name: str,
    model: Path,
    recentre: bool = False,
    options: Options = OFF,
    distractors: Path | None = None,
) -> pd.DataFrame:
    """retrieval.summarise of the checkpoint `model` on the study's benchmark of that name, a row each way to compare.

    Its columns `recentred`, `option` and `distractors` say which: the first row is plain, `option` None and `distractors` 0.
    recentre: a row of the codes whose thresholds are the mean outputs over the database; the queries take no part in it.
    options: a row for each that is on, of the plain codes, and one for all together.
    distractors: an index of photos; a row with these in the database too, and how many they are.
    Raises StudyError, and StudyError where real vectors are to be
    recentred or distractors do not compare.
    """
    if recentre and distractors:
        raise StudyError("an index holds codes, no outputs to be recentred: leave out --recentre or --distractors")
    prepare(study.params)
    network, facts = load_checkpoint(model)
    if recentre and network.bits is None:
        raise StudyError(f"{model}: gives real vectors, which have no thresholds to move; leave out --recentre")
    index = open_distractors(distractors, str(facts["sha256"])) if distractors else None
    network.to(device())
    study = Study(study.root, study.params.model_copy(update={"network": network.settings}))
    benchmark, system = read_benchmark(study, name), System(str(facts["method"]), network.bits)
    outputs = _outputs(study, benchmark, network, options)
    coded = {
        folder: (pack(queries), pack(stored)) if network.bits else (queries, stored)
        for folder, (queries, stored) in outputs.items()
    }

    def row(ties: Ties, recentred: bool = False, count: int = 0) -> pd.DataFrame:
        scores = summarise(query_rows(study, benchmark, system, ties))
        return scores.assign(recentred=recentred, option=None, distractors=count)

    plain = ties_between(benchmark, coded[""])
    tables = [row(plain)]
    if recentre:
        tables.append(row(ties_between(benchmark, pack_recentred(*outputs[""])), recentred=True))
    if alone_and_together(options):
        tables.append(option_summary(study, benchmark, system, coded, options).assign(recentred=False, distractors=0))
    if index:
        counts = counted(coded[""][0], codes_without(index.rows, benchmark))
        tables.append(row(among(plain, counts), count=int(counts[0].sum())))
    return pd.concat(tables, ignore_index=True)


def _outputs(study: Study, benchmark: Benchmark, network: HashNetwork, options: Options) -> dict[str, Coded]:
    """Outputs of the queries and of the database, by the folder of scales.sides_by_folder."""
    sides, threads = sides_by_folder(network.settings.side, options.scales), study.params.run.threads
    at = {
        part: encode_at(sides, {part: network}, views, threads, f"{benchmark.name} {part}")
        for part, views in parts_of(study, benchmark).items()
    }
    return {folder: (at["queries"][folder]["queries"], at["database"][folder]["database"]) for folder in sides}
