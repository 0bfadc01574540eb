"""The codes of the benchmarks: written once, so that a score can be made again, and a code looked at, without a network."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bcdh_lib.core.codes import Codes, centre_of, pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_array, write_array
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmarks
from bcdh_lib.retrieval.benchmarks.photo_files import require_photos
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow
from bcdh_lib.retrieval.systems import FLOAT, PRETRAINED, System, systems
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import load_checkpoint
from bcdh_lib.training.device import device, prepare
from bcdh_lib.training.encoding import cache_activations, pool_all
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.training_set import read_vectors
from bcdh_lib.training.views import Views

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BenchmarkCodes:
    """A benchmark's queries and database as one system encodes them, in the benchmark's order. A file each, named as here.

    queries, database: codes uint8 [n, L/8], or unit vectors float32 [n, d]. Codes alone have the other two:
    recentred_database: codes about the mean output of the database; centred_queries: the queries' real outputs less that mean,
    float32 [q, L], whose signs are their recentred codes. No query takes part in the mean.
    """

    queries: Codes | Floats
    database: Codes | Floats
    recentred_database: Codes | None = None
    centred_queries: Floats | None = None


def code_outputs(queries: Floats, database: Floats, bits: int | None) -> BenchmarkCodes:
    """The codes of real outputs [n, L]; if bits is None, the vectors themselves. Raises StudyError if one is not finite."""
    if bits is None:
        return BenchmarkCodes(queries, database)
    centre = centre_of(database)
    return BenchmarkCodes(pack(queries), pack(database), pack(database - centre), queries - centre)


def write_codes(study: Study) -> None:
    """Encode every photo set once by every system: codes/PHOTO_SET/NAME.FIELD.npy (see BenchmarkCodes). Raises StudyError."""
    benchmarks = read_benchmarks(study)
    require_photos(benchmarks)
    prepare(study.params)
    stored = [system for system in systems(study) if system.method not in (PRETRAINED, *SHALLOW)]
    networks = {PRETRAINED: HashNetwork(study.params.network, bits=None)}
    networks |= {system.name: load_checkpoint(study.checkpoint(system.name))[0] for system in stored}
    networks = {name: network.to(device()).eval() for name, network in networks.items()}
    shallow, training = [system for system in systems(study) if system.method in SHALLOW], read_vectors(study)
    own = training.vectors[training.train]
    coders = {system: fit_shallow(system.method, own, system.bits or 0, study.params.run.seed) for system in shallow}
    for name, benchmark in one_per_photo_set(benchmarks).items():
        views = benchmark_views(study, benchmark)
        outputs = {part: encode_by_all(networks, views[part], study, f"{name} {part}") for part in ("queries", "database")}
        for system in systems(study):
            queries, database = (
                coders[system](outputs[part][FLOAT]) if system in coders else outputs[part][system.name]
                for part in ("queries", "database")
            )
            write_system_codes(study, name, system, code_outputs(queries, database, system.bits))


def write_system_codes(study: Study, photo_set: str, system: System, codes: BenchmarkCodes) -> None:
    """Write the codes of one system on one photo set."""
    for field, array in vars(codes).items():
        if array is not None:
            write_array(study.codes / photo_set / f"{system.name}.{field}.npy", array)


def encode_by_all(networks: dict[str, HashNetwork], views: Views, study: Study, title: str) -> dict[str, Floats]:
    """Outputs [n, L] of each network, by name; all must have the same settings.

    A photo goes once through the frozen blocks, and once through the others for all networks that have the same weights there,
    as the float baseline and hash layers trained on its vectors.
    """
    activations = cache_activations(next(iter(networks.values())), views, study.params.run.threads, title)
    outputs: dict[str, Floats] = {}
    pooled: list[tuple[dict[str, Tensor], Tensor]] = []
    for name, network in networks.items():
        blocks = network.late.state_dict()
        same = (vectors for others, vectors in pooled if all(torch.equal(blocks[key], others[key]) for key in blocks))
        vectors = next(same, None)
        if vectors is None:
            vectors = pool_all(network, activations)
            pooled.append((blocks, vectors))
        with torch.no_grad():
            outputs[name] = network.finish(vectors).cpu().numpy()
    return outputs


def one_per_photo_set(benchmarks: Iterable[Benchmark]) -> dict[str, Benchmark]:
    """One benchmark of each photo set, by the photo set's name, which is the folder of its codes."""
    return {benchmark.photo_set: benchmark for benchmark in benchmarks}


def benchmark_views(study: Study, benchmark: Benchmark) -> dict[str, Views]:
    """The photos of a benchmark's "database" and "queries" as the network sees them, queries cut to their boxes."""
    side = study.params.network.side
    return {
        "database": Views(list(benchmark.photos.values()), side),
        "queries": Views([benchmark.photo_of(q) for q in benchmark.queries], side, boxes=[q.box for q in benchmark.queries]),
    }


def read_codes(study: Study, benchmark: Benchmark, system: System) -> BenchmarkCodes:
    """What write_codes wrote of a system on a benchmark. Raises StudyError if a file is missing or does not fit."""
    rows = {"queries": len(benchmark.queries), "database": len(benchmark.photos)}
    if system.bits:
        rows |= {"recentred_database": rows["database"], "centred_queries": rows["queries"]}
    arrays = {}
    for field, count in rows.items():
        path = study.codes / benchmark.photo_set / f"{system.name}.{field}.npy"
        try:
            array = read_array(path)
        except (OSError, ValueError) as error:
            raise StudyError(f"{path}: cannot be read ({error}); make it with: dvc repro retrieval") from None
        packed = bool(system.bits) and field != "centred_queries"
        kind, width = (np.uint8, (system.bits or 0) // 8) if packed else (np.float32, system.bits)
        if array.ndim != 2 or array.dtype != kind or len(array) != count or width not in (None, array.shape[1]):
            raise StudyError(
                f"{path}: holds {array.dtype} {array.shape}, not {count} rows of {system.name}; make it again with: "
                "dvc repro -f retrieval"
            )
        arrays[field] = array
    return BenchmarkCodes(**arrays)
