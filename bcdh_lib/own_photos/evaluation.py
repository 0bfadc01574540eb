"""One checkpoint on one benchmark: its scores as the study has them, and after recentring on the benchmark's database."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bcdh_lib.benchmarks import read_benchmark
from bcdh_lib.codes import distances, pack
from bcdh_lib.metrics import ties_of_distances
from bcdh_lib.network import load_checkpoint
from bcdh_lib.own_photos.recentring import centre_of, pack_around
from bcdh_lib.retrieval import RetrievalError, System, parts_of, query_rows, summarise
from bcdh_lib.study import Study
from bcdh_lib.training_set import device, encode_kept, keep, prepare


def evaluate(study: Study, name: str, model: Path, recentre: bool = False) -> pd.DataFrame:
    """retrieval.summarise of the checkpoint `model` on the study's benchmark of that name, with the column `recentred`.

    recentre: a second row, of the codes whose thresholds are the mean outputs over the database; the queries take no part in it.
    Raises BenchmarkError, NetworkError, ViewError, and RetrievalError where real vectors are to be recentred.
    """
    prepare(study.params)
    network, facts = load_checkpoint(model)
    if recentre and network.bits is None:
        raise RetrievalError(f"{model}: gives real vectors, which have no thresholds to move; leave out --recentre")
    network.to(device())
    study = Study(study.root, study.params.model_copy(update={"network": network.settings}))
    benchmark, system = read_benchmark(study, name), System(str(facts["method"]), network.bits)
    threads = study.params.run.threads
    outputs = {
        part: encode_kept(network, keep(network, views, threads, f"{name} {part}")).numpy()
        for part, views in parts_of(study, benchmark).items()
    }
    coded = {False: {part: pack(array) if network.bits else array for part, array in outputs.items()}}
    if recentre:
        centre = centre_of([outputs["database"]])
        coded[True] = {part: pack_around(array, centre) for part, array in outputs.items()}
    tables = []
    for recentred, parts in coded.items():
        found = distances(parts["queries"], parts["database"])
        ties = ties_of_distances(found, benchmark.positive(), benchmark.junk())
        tables.append(summarise(query_rows(study, benchmark, system, ties)).assign(recentred=recentred))
    return pd.concat(tables, ignore_index=True)
