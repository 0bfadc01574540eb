"""One checkpoint on one benchmark: its scores as the study has them, recentred on the database, and with distractors in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.benchmarks import Benchmark, read_benchmark
from bcdh_lib.codes import distances, pack
from bcdh_lib.metrics import Ties, ties_of_distances
from bcdh_lib.network import load_checkpoint
from bcdh_lib.own_photos.distractors import among, codes_without, counted, open_distractors
from bcdh_lib.own_photos.recentring import centre_of, pack_around
from bcdh_lib.retrieval import RetrievalError, System, parts_of, query_rows, summarise
from bcdh_lib.study import Study
from bcdh_lib.training_set import device, encode_kept, keep, prepare


def evaluate(study: Study, name: str, model: Path, recentre: bool = False, distractors: Path | None = None) -> pd.DataFrame:
    """retrieval.summarise of the checkpoint on the study's benchmark of that name, and the columns `recentred` and `distractors`.

    recentre: a second row, of the codes whose thresholds are the mean outputs over the database; the queries take no part in it.
    distractors: an index of photos; a second row, with these in the database too, and how many they are.
    Raises BenchmarkError, NetworkError, ViewError, PhotoIndexError, and RetrievalError where real vectors are to be recentred or
    distractors do not compare.
    """
    if recentre and distractors:
        raise RetrievalError("an index holds codes, no outputs to be recentred: leave out --recentre or --distractors")
    prepare(study.params)
    network, facts = load_checkpoint(model)
    if recentre and network.bits is None:
        raise RetrievalError(f"{model}: gives real vectors, which have no thresholds to move; leave out --recentre")
    index = open_distractors(distractors, str(facts["sha256"])) if distractors else None
    network.to(device())
    study = Study(study.root, study.params.model_copy(update={"network": network.settings}))
    benchmark, system = read_benchmark(study, name), System(str(facts["method"]), network.bits)
    threads = study.params.run.threads
    outputs = {
        part: encode_kept(network, keep(network, views, threads, f"{name} {part}")).numpy()
        for part, views in parts_of(study, benchmark).items()
    }

    def row(ties: Ties, recentred: bool = False, count: int = 0) -> pd.DataFrame:
        scores = summarise(query_rows(study, benchmark, system, ties))
        return scores.assign(recentred=recentred, distractors=count)

    coded = {part: pack(array) if network.bits else array for part, array in outputs.items()}
    plain = _ties_of(benchmark, coded)
    tables = [row(plain)]
    if recentre:
        centre = centre_of([outputs["database"]])
        moved = {part: pack_around(array, centre) for part, array in outputs.items()}
        tables.append(row(_ties_of(benchmark, moved), recentred=True))
    if index:
        counts = counted(coded["queries"], codes_without(index.rows, benchmark))
        tables.append(row(among(plain, counts), count=int(counts[0].sum())))
    return pd.concat(tables, ignore_index=True)


def _ties_of(benchmark: Benchmark, coded: dict[str, NDArray]) -> Ties:
    return ties_of_distances(distances(coded["queries"], coded["database"]), benchmark.positive(), benchmark.junk())
