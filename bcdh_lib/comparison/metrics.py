"""The figures of one run of the pipeline put together: what it was made of, and how well each system retrieves."""

import json
from pathlib import Path

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_json, write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.retrieval.score import plain, summarise
from bcdh_lib.retrieval.systems import BCDH
from bcdh_lib.study import Study


def write_metrics(study: Study) -> None:
    """Write reports/metrics.json: counts of the whole pipeline, and the mAP of every system with its bounds."""
    counts = {
        "photos": len(read_table(study.photos, "photos")),
        "left_out": len(read_table(study.photos, "left_out")),
        "models": _count(study.reconstruction, "models"),
        "registered": _count(study.reconstruction, "registered"),
        "pairs": _count(study.pairs, "similar_pairs"),
        "dissimilar_pairs": _count(study.pairs, "dissimilar_pairs"),
    }
    summary = plain(summarise(read_table(study.reports_of("retrieval"), "queries")))
    columns = ["benchmark", "method", "bits", "map", "map_best", "map_worst", "map_rectangle"]
    scores = json.loads(summary[columns].to_json(orient="records", double_precision=6))
    write_json(study.reports / "metrics.json", {"counts": counts, "retrieval": scores}, indent=1)


def _count(folder: Path, name: str) -> int:
    """A count in a step's summary. Raises StudyError."""
    path = folder / "summary.json"
    if not isinstance(found := read_json(path).get(name), int):
        raise StudyError(f"{path}: {name} is no count; make it with: dvc repro {folder.name}")
    return found


def verdict(summary: pd.DataFrame, bits: int = 64) -> str:
    """One sentence a benchmark: the rank of BCDH among the codes of `bits` bits, and the real vectors."""
    sentences = []
    for benchmark, rows in plain(summary).groupby("benchmark", sort=False):
        codes = rows[rows["bits"] == bits].set_index("method")["map"].sort_values(ascending=False)
        vectors = rows[rows["bits"].isna()].set_index("method")["map"]
        others, real = (
            ", ".join(f"{method} {value:.3f}" for method, value in each.items()) for each in (codes.drop(BCDH), vectors)
        )
        place = f"{benchmark}: BCDH is number {list(codes.index).index(BCDH) + 1} of {len(codes)} at {bits} bits"
        sentences.append(f"{place}, mAP {codes[BCDH]:.3f} ({others}); real vectors: {real}.")
    return "\n".join(sentences)


if __name__ == "__main__":
    from bcdh_lib.study import run

    run("bcdh_lib.comparison.metrics", "write_metrics")
