"""Networks that learned from one pile, on the benchmarks of another: what carries over, what recentring mends, what signs cost.

    cd STUDY_OF_OTHER_PHOTOS
    python -m bcdh_lib.comparison.generalisation FOLDER_OF_NETWORKS --out rendered_to_real.csv

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

from bcdh_lib.comparison.outputs import Kept, keep_benchmarks
from bcdh_lib.comparison.summary import with_interval
from bcdh_lib.core.codes import pack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.metrics import average_precision
from bcdh_lib.core.recentring import pack_recentred
from bcdh_lib.retrieval.scales import unit
from bcdh_lib.retrieval.score import Coded, read_benchmarks, ties_between
from bcdh_lib.study import Study, open_study
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.training_set import device, encode_kept, prepare


def score_networks(study: Study, folder: Path) -> pd.DataFrame:
    """mAP of every network of a folder on every benchmark of the study, a row each: `map`, `recentred` and `before_sign`.

    recentred: of codes whose thresholds are the mean outputs over the database. before_sign: of the real outputs whose signs are
    the codes, as unit vectors. Both NaN for real vectors. Raises StudyError where the folder holds none, or one has other
    frozen blocks than the study's network.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise StudyError(f"{folder}: holds no network (.safetensors); make them with: make study")
    prepare(study.params)
    kept, rows = keep_benchmarks(study, read_benchmarks(study)), []
    for path in tqdm(paths, desc="networks", unit="network"):
        network, facts = load_checkpoint(path)
        if network.settings.model_copy(update={"start": study.params.network.start}) != study.params.network:
            raise StudyError(f"{path}: has other settings of `network` than {study.root / 'params.yaml'}; make these alike")
        network.to(device())
        for each in kept:
            row = {"benchmark": each.benchmark.name, "method": facts["method"], "bits": network.bits, "seed": facts["seed"]}
            rows.append(row | scores_of(network, each))
    return pd.DataFrame(rows).astype({"bits": "Int32"})


def scores_of(network: HashNetwork, kept: Kept) -> dict[str, float]:
    """mAP of a network on a benchmark, of its codes (or vectors) as they are, recentred, and before the sign."""
    queries, database = (encode_kept(network, kept.parts[part]).numpy() for part in ("queries", "database"))
    if network.bits is None:
        return {"map": _map(kept, (queries, database)), "recentred": float("nan"), "before_sign": float("nan")}
    return {
        "map": _map(kept, (pack(queries), pack(database))),
        "recentred": _map(kept, pack_recentred(queries, database)),
        "before_sign": _map(kept, (unit(queries), unit(database))),
    }


def _map(kept: Kept, coded: Coded) -> float:
    return float(np.nanmean(average_precision(ties_between(kept.benchmark, coded), "trapezoid")))


def over_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds with 95 % intervals: benchmark, method, bits, seeds, map, low, high, recentred, before_sign, and the
    gain by recentring with its interval (gain, gain_low, gain_high).
    """
    scores = scores.assign(gain=scores["recentred"] - scores["map"])
    grouped = scores.groupby(["benchmark", "method", "bits"], dropna=False)
    gains = with_interval(grouped["gain"], "gain")[["gain", "low", "high"]].rename(
        columns={"low": "gain_low", "high": "gain_high"}
    )
    others = grouped[["recentred", "before_sign"]].mean().reset_index(drop=True)
    return pd.concat([with_interval(grouped["map"], "map"), others, gains], axis=1)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bcdh_lib.comparison.generalisation",
        description="Score a folder of networks on the benchmarks of the study here.",
    )
    parser.add_argument("networks", type=Path, help="folder of checkpoints, as work/study/networks")
    parser.add_argument("--out", type=Path, required=True, help="the table (.csv) to write")
    options = parser.parse_args(arguments)
    try:
        table = over_seeds(score_networks(open_study(), options.networks))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    write_bytes(options.out, table.to_csv(index=False, float_format="%.6f").encode())
    print(f"{options.out}: {len(table)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
