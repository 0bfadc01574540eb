"""One checkpoint on one benchmark: by every scoring, and among distractors."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bcdh_lib.core.codes import pack
from bcdh_lib.retrieval.benchmarks import read_benchmark
from bcdh_lib.retrieval.codes import benchmark_views, code_outputs, encode_by_all
from bcdh_lib.retrieval.score import query_rows, score_codes, summarise, ties_of
from bcdh_lib.retrieval.systems import System
from bcdh_lib.search.distractors import codes_without, counted, open_distractors, with_distractors
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import device, prepare


def evaluate(study: Study, name: str, model: Path, distractors: Path | None = None) -> pd.DataFrame:
    """retrieval.score.summarise of the checkpoint `model` on a benchmark: a row a scoring, with a column `distractors`.

    distractors: an index; also by Hamming distance with its photos in the database, whose number the column tells. Raises
    StudyError.
    """
    prepare(study.params)
    network, facts = load_checkpoint(model)
    index = open_distractors(distractors, str(facts["sha256"])) if distractors else None
    network.to(device())
    study = Study(study.root, study.params.model_copy(update={"network": network.settings}))
    benchmark, system = read_benchmark(study, name), System(str(facts["method"]), network.bits)
    views = benchmark_views(study, benchmark)
    outputs = [encode_by_all({"": network}, views[part], study, f"{name} {part}")[""] for part in ("queries", "database")]
    codes = code_outputs(outputs[0], outputs[1], network.bits)
    table = summarise(score_codes(study, benchmark, system, codes)).assign(distractors=0)
    if index is None:
        return table
    counts = counted(pack(outputs[0]), codes_without(index.rows, benchmark))
    ties = with_distractors(ties_of(benchmark, codes, "hamming"), counts)
    rows = summarise(query_rows(study, benchmark, system, ties, "hamming")).assign(distractors=int(counts[0].sum()))
    return pd.concat([table, rows], ignore_index=True)
