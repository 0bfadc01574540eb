"""Networks that learned from one pile, on the benchmarks of another: what carries over, and what recentring mends.

    cd STUDY_OF_OTHER_PHOTOS
    python -m bcdh_lib.generalisation FOLDER_OF_NETWORKS --out rendered_to_real.csv

A folder of networks is work/study/networks, which `make study` leaves. All must have the frozen blocks of the study that is
tested on: its photos go through them once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from bcdh_lib.benchmarks import BenchmarkError
from bcdh_lib.codes import distances, pack
from bcdh_lib.metrics import average_precision, ties_of_distances
from bcdh_lib.network import HashNetwork, NetworkError, load_checkpoint
from bcdh_lib.outputs import Kept, keep_benchmarks
from bcdh_lib.own_photos.recentring import centre_of, pack_around
from bcdh_lib.params import ParamsError
from bcdh_lib.retrieval import read_benchmarks
from bcdh_lib.study import Study, open_study
from bcdh_lib.study_summary import half_width
from bcdh_lib.tables import write_bytes
from bcdh_lib.training_set import device, encode_kept, prepare
from bcdh_lib.views import ViewError

FAULTS = (BenchmarkError, NetworkError, ParamsError, ViewError, FileNotFoundError)


def score_networks(study: Study, folder: Path) -> pd.DataFrame:
    """mAP of every network of a folder on every benchmark of the study: benchmark, method, bits, seed, map, recentred.

    recentred: of codes whose thresholds are the mean outputs over the database; NaN for real vectors. Raises NetworkError where
    the folder holds none, or one has other frozen blocks than the study's network.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise NetworkError(f"{folder}: holds no network (.safetensors); make them with: make study")
    prepare(study.params)
    kept, rows = keep_benchmarks(study, read_benchmarks(study)), []
    for path in tqdm(paths, desc="networks", unit="network"):
        network, facts = load_checkpoint(path)
        if network.settings.model_copy(update={"start": study.params.network.start}) != study.params.network:
            raise NetworkError(f"{path}: has other settings of `network` than {study.root / 'params.yaml'}; make these alike")
        network.to(device())
        for each in kept:
            row = {"benchmark": each.benchmark.name, "method": facts["method"], "bits": network.bits, "seed": facts["seed"]}
            rows.append(row | scores_of(network, each))
    return pd.DataFrame(rows).astype({"bits": "Int32"})


def scores_of(network: HashNetwork, kept: Kept) -> dict[str, float]:
    """mAP of a network on a benchmark, of its codes (or vectors) as they are and recentred."""
    outputs = {part: encode_kept(network, views).numpy() for part, views in kept.parts.items()}
    if network.bits is None:
        return {"map": _map(kept, outputs), "recentred": float("nan")}
    centre = centre_of([outputs["database"]])
    plain = {part: pack(array) for part, array in outputs.items()}
    return {"map": _map(kept, plain), "recentred": _map(kept, {part: pack_around(a, centre) for part, a in outputs.items()})}


def _map(kept: Kept, coded: dict[str, np.ndarray]) -> float:
    found = distances(coded["queries"], coded["database"])
    ties = ties_of_distances(found, kept.benchmark.positive(), kept.benchmark.junk())
    return float(np.nanmean(average_precision(ties, "trapezoid")))


def over_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds with 95 % intervals: benchmark, method, bits, seeds, map, low, high, recentred, and their difference's
    mean and interval (gain, gain_low, gain_high).
    """
    scores = scores.assign(gain=scores["recentred"] - scores["map"])
    grouped = scores.groupby(["benchmark", "method", "bits"], dropna=False)
    table = grouped.agg(seeds=("map", "size"), map=("map", "mean"), recentred=("recentred", "mean"), gain=("gain", "mean"))
    table = table.reset_index()
    half, half_gain = half_width(grouped["map"]), half_width(grouped["gain"])
    table["low"], table["high"] = table["map"] - half, table["map"] + half
    table["gain_low"], table["gain_high"] = table["gain"] - half_gain, table["gain"] + half_gain
    return table


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bcdh_lib.generalisation", description="Score a folder of networks on the benchmarks of the study here."
    )
    parser.add_argument("networks", type=Path, help="folder of checkpoints, as work/study/networks")
    parser.add_argument("--out", type=Path, required=True, help="the table (.csv) to write")
    options = parser.parse_args(arguments)
    try:
        table = over_seeds(score_networks(open_study(), options.networks))
    except FAULTS as error:
        print(error, file=sys.stderr)
        return 1
    write_bytes(options.out, table.to_csv(index=False, float_format="%.6f").encode())
    print(f"{options.out}: {len(table)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
