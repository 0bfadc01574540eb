"""One checkpoint on one benchmark, by every scoring."""

from pathlib import Path

import pandas as pd

from bcdh_lib.retrieval.benchmarks import read_benchmark
from bcdh_lib.retrieval.codes import benchmark_views, code_outputs, encode_by_all
from bcdh_lib.retrieval.score import score_codes, summarise
from bcdh_lib.retrieval.systems import System
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import device, prepare


def evaluate(study: Study, name: str, model: Path) -> pd.DataFrame:
    """retrieval.score.summarise of the checkpoint `model` on a benchmark: a row a scoring. Raises StudyError."""
    prepare(study.params)
    network, facts = load_checkpoint(model)
    network.to(device())
    study = Study(study.root, study.params.model_copy(update={"network": network.settings}))
    benchmark, system = read_benchmark(study, name), System(str(facts["method"]), network.bits)
    views = benchmark_views(study, benchmark)
    outputs = [encode_by_all({"": network}, views[part], study, f"{name} {part}")[""] for part in ("queries", "database")]
    return summarise(score_codes(study, benchmark, system, code_outputs(outputs[0], outputs[1], network.bits)))
