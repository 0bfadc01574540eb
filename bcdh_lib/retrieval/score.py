"""Codes of the benchmarks, then their scores: two steps, so that a code can be looked at and a score can be made anew.

What is compared is a system: a trained run, the pretrained network without training, or shallow codes (LSH, ITQ, ...) of the
float parent's vectors, fitted on the training photos. Codes are uint8 [n, L/8], vectors float32 [n, d] where bits is None.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bcdh_lib.core.codes import distances, pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array, write_array
from bcdh_lib.core.metrics import Ties, average_precision, precision_at, precision_at_recall, recall_within, ties_of_distances
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.params import run_name
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmarks, require_photos
from bcdh_lib.retrieval.scales import encode_at, sides_by_folder
from bcdh_lib.retrieval.shallow import SHALLOW, Coder, fit
from bcdh_lib.study import Study
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.training_set import device, encode_kept, keep, prepare
from bcdh_lib.training.views import Views

OURS, FLOAT, WHITENED, PRETRAINED = "binary_constrained", "float", "whitened", "pretrained"
RECALLS = np.linspace(0.05, 1, 20)
Coded = tuple[np.ndarray, np.ndarray]
"""Codes or vectors of a benchmark's queries and of its database."""


@dataclass(frozen=True)
class System:
    """What turns photos into codes (bits) or vectors (bits None), by the name its files bear."""

    method: str
    bits: int | None

    @property
    def name(self) -> str:
        return run_name(self.method, self.bits)


def systems(study: Study) -> list[System]:
    """All that is compared: the trained runs, the pretrained network plain and whitened, shallow codes at every code length.

    Shallow codes need the float parent, and as many training photos as bits: longer ones are not made.
    """
    runs = [System(run.method, run.bits) for run in study.params.training.runs]
    lengths = sorted({run.bits for run in runs if run.bits and run.bits <= _count_training_photos(study)})
    parent = any(run.bits is None for run in runs)
    shallow = [System(method, bits) for method in SHALLOW for bits in lengths] if parent else []
    untrained = [WHITENED, PRETRAINED] if study.params.network.whitening is not None else [PRETRAINED]
    return [*runs, *shallow, *(System(method, None) for method in untrained)]


def _count_training_photos(study: Study) -> int:
    return int((read_table(study.pairs, "members")["split"] == "train").sum())


def write_codes(study: Study) -> None:
    """Encode every benchmark's database and queries by every system, as codes/BENCHMARK/NAME.database.npy and .queries.npy.

    Photos are decoded once a collection, whose name its benchmarks' codes bear, and scale; rows follow the benchmark's own order.
    Every photo's header is read before the first one is encoded. Raises StudyError.
    """
    sides = sides_by_folder(study.params.network.side, study.params.retrieval.scales)
    benchmarks = read_benchmarks(study)
    require_photos(benchmarks)
    prepare(study.params)
    stored = [system.name for system in systems(study) if system.method not in (PRETRAINED, *SHALLOW)]
    networks = {PRETRAINED: HashNetwork(study.params.network, bits=None).to(device()).eval()}
    networks |= {name: load_checkpoint(study.checkpoint(name))[0].to(device()) for name in stored}
    coders = _shallow_coders(study, networks)
    for name, benchmark in collections_of(benchmarks).items():
        for part, views in parts_of(study, benchmark).items():
            for folder, outputs in encode_at(sides, networks, views, study.params.run.threads, f"{name} {part}").items():
                coded = {system: pack(array) if networks[system].bits else array for system, array in outputs.items()}
                coded |= {system: coder(outputs[FLOAT]) for system, coder in coders.items()}
                for system, array in coded.items():
                    write_array(study.codes / name / folder / f"{system}.{part}.npy", array)


def collections_of(benchmarks: Iterable[Benchmark]) -> dict[str, Benchmark]:
    """One benchmark of each collection of photos and queries, by the name that the codes of them all bear."""
    return {benchmark.photo_set: benchmark for benchmark in benchmarks}


def parts_of(study: Study, benchmark: Benchmark) -> dict[str, Views]:
    """The photos of a benchmark's database and queries as the network sees them, queries cut to their boxes."""
    side = study.params.network.side
    return {
        "database": Views(list(benchmark.photos.values()), side),
        "queries": Views([benchmark.photo_of(q) for q in benchmark.queries], side, boxes=[q.box for q in benchmark.queries]),
    }


def _shallow_coders(study: Study, networks: dict[str, HashNetwork]) -> dict[str, Coder]:
    """The shallow systems, by name, fitted to the float parent's vectors of the training photos."""
    shallow = [system for system in systems(study) if system.method in SHALLOW]
    if not shallow:
        return {}
    members = read_table(study.pairs, "members")
    paths = [study.image(photo) for photo in members.loc[members["split"] == "train", "photo_id"]]
    views = Views(paths, study.params.network.side)
    kept = keep(networks[FLOAT], views, study.params.run.threads, "training photos for shallow codes")
    vectors = encode_kept(networks[FLOAT], kept).numpy()
    return {system.name: fit(system.method, vectors, system.bits or 0, study.params.run.seed) for system in shallow}


def load_codes(study: Study, benchmark: Benchmark, system: System, folder: str = "") -> Coded:
    """Queries and database of a benchmark as a system coded them. Raises StudyError where the files do not fit.

    folder: "", or scales.AT_SCALES for the codes of several scales.
    """
    arrays = []
    for part, rows in (("queries", len(benchmark.queries)), ("database", len(benchmark.photos))):
        path = study.codes / benchmark.photo_set / folder / f"{system.name}.{part}.npy"
        try:
            array = read_array(path)
        except (OSError, ValueError) as error:
            raise StudyError(f"{path}: cannot be read ({error}); make it with: dvc repro retrieval") from None
        kind, width = (np.uint8, system.bits // 8) if system.bits else (np.float32, None)
        if array.ndim != 2 or array.dtype != kind or len(array) != rows or (width and array.shape[1] != width):
            raise StudyError(f"{path}: holds {array.dtype} {array.shape}, not {rows} rows of {system.name}; make it anew")
        arrays.append(array)
    return arrays[0], arrays[1]


def ties_on(study: Study, benchmark: Benchmark, system: System) -> Ties:
    """The rankings of a system on a benchmark, as ties, after the benchmark's junk rule."""
    return ties_between(benchmark, load_codes(study, benchmark, system))


def ties_between(benchmark: Benchmark, coded: Coded) -> Ties:
    """The rankings that codes or vectors of a benchmark's queries and database give, as ties, after the benchmark's junk rule."""
    return ties_of_distances(distances(*coded), benchmark.positive(), benchmark.junk())


def score(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every system on every benchmark: the tables of query rows and of precision-recall curves; writes `queries`.

    A curve is the precision at each recall of RECALLS, mean over the queries with positives: benchmark, method, bits, recall,
    precision.
    """
    compared = systems(study)
    rows, curves = [], []
    for benchmark in read_benchmarks(study):
        for system in compared:
            ties = ties_on(study, benchmark, system)
            rows.append(query_rows(study, benchmark, system, ties))
            curves.append(_curve(benchmark, system, ties))
    queries = pd.concat(rows, ignore_index=True)
    write_table(study.reports, "queries", queries)
    return queries, pd.concat(curves, ignore_index=True)


def query_rows(study: Study, benchmark: Benchmark, system: System, ties: Ties) -> pd.DataFrame:
    """Rows of the table `queries` of one system on one benchmark."""
    return pd.DataFrame(
        {
            "benchmark": benchmark.name,
            "method": system.method,
            "bits": pd.Series([system.bits] * len(benchmark.queries), dtype="Int32"),
            "seed": study.params.run.seed,
            "query": [query.name for query in benchmark.queries],
            "group": [query.group for query in benchmark.queries],
            "positives": ties.positives,
            "ap": average_precision(ties, "trapezoid"),
            "ap_best": average_precision(ties, "trapezoid", "best"),
            "ap_worst": average_precision(ties, "trapezoid", "worst"),
            "ap_rectangle": average_precision(ties, "rectangle"),
            **{f"p_at_{k}": precision_at(ties, k) for k in (1, 5, 10)},
            "recall_in_radius": recall_within(ties, study.params.retrieval.radius) if system.bits else np.nan,
        }
    )


def _curve(benchmark: Benchmark, system: System, ties: Ties) -> pd.DataFrame:
    precision = np.nanmean(precision_at_recall(ties, RECALLS), axis=0)
    curve = pd.DataFrame({"recall": RECALLS, "precision": precision}).assign(benchmark=benchmark.name, **vars(system))
    return curve[["benchmark", "method", "bits", "recall", "precision"]]


def summarise(queries: pd.DataFrame) -> pd.DataFrame:
    """Means over the queries that have positives, one row a benchmark and system; `empty` counts the queries that have none."""
    keys = ["benchmark", "method", "bits"]
    queries = queries.assign(bits=queries["bits"].astype("Int32"))  # pandas reads a column with nulls as real numbers
    answered = queries[queries["positives"] > 0]
    means = (
        answered.drop(columns=["query", "group", "seed", "positives"])
        .groupby(keys, dropna=False, sort=False)
        .mean()
        .reset_index()
    )
    means = means.rename(columns={column: column.replace("ap", "map", 1) for column in means if column.startswith("ap")})
    counts = queries.groupby(keys, dropna=False, sort=False)["positives"].agg(queries="size", empty=lambda p: int((p == 0).sum()))
    return means.merge(counts.reset_index(), on=keys)
