"""The committed tables of the study over seeds, reports/study: which there are, what they hold, how they are written and read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import read_json, write_bytes, write_json
from bcdh_lib.core.tables import write_parquet

LIST = "tables.json"
COMMAND = "python -m bcdh_lib.comparison"
ABOUT = {
    "headline.csv": "BCDH, the best other loss, ITQ and the float baseline: mAP, mean over the benchmarks",
    "mean.csv": "every method and code length: mAP, mean over the benchmarks",
    "benchmarks.csv": "every method and code length: mAP on each benchmark",
    "differences.csv": "BCDH less every other method of the same length: mAP, interval, corrected p, verdict",
    "end_to_end.csv": "blocks and hash layer trained on together: mAP of every method, before and after, and of the control",
    "end_to_end_rates.csv": "learning rates of this phase that every method tried with the first seed, and validation mAP",
    "end_to_end_differences.csv": "codes trained end to end less those before, less the control's, and BCDH's less the others'",
    "models.csv": "mAP against the number of 3D models, mean over the benchmarks",
    "models_differences.csv": "BCDH less ITQ and less the best other loss, against the number of 3D models",
    "ablations.csv": "BCDH with one thing changed: mAP, and the difference from BCDH as tuned",
    "trials.csv": "every configuration that tuning tried, and its validation mAP",
    "chosen.json": "the configuration of each method that tuning chose, by code length",
    "bits.csv": "how the bits of trained codes behave, mean over the seeds",
    "queries.parquet": "average precision of every query",
    "provenance.json": "commit, machine, versions and minutes",
}
"""Every committed file of the study, and what it holds; tables.json says the same, with the command."""


STUDIES = {"": "Study", "real_": "Real photos", "real_224_": "Real photos, 224 px"}
"""The studies that have tables there, by their prefix; another prefix is for tables that no page shows."""


def write_tables(folder: Path, tables: Mapping[str, Any], prefix: str = "") -> None:
    """Write the study's files by name (a DataFrame, or a dict as JSON), each after `prefix`; tables.json lists them.

    Files that tables.json does not list are deleted, so every file there has its command.
    """
    command = COMMAND + (f" --root FOLDER --prefix {prefix}" if prefix else "")
    entries = {prefix + name: {"command": command, "about": ABOUT[name]} for name in tables}
    listed = {name: entry for name, entry in _listed(folder).items() if entry["command"] != command} | entries
    for name, table in tables.items():
        path = folder / (prefix + name)
        if path.suffix == ".csv":
            write_bytes(path, table.to_csv(index=False, float_format="%.6f").encode())
        elif path.suffix == ".parquet":
            write_parquet(path, table)
        else:
            write_json(path, table)
    write_json(folder / LIST, listed)
    for path in folder.iterdir():
        if path.is_file() and path.name not in {LIST, *listed}:
            path.unlink()


def read_tables(root: Path, prefix: str = "") -> dict[str, Any]:
    """The tables that tables.json lists, by name without prefix and ending; JSON files as dicts. Raises StudyError."""
    folder = root / "reports/study"
    listed = _listed(folder)
    return {Path(name).stem: _read(folder / (prefix + name)) for name in ABOUT if prefix + name in listed}


def _listed(folder: Path) -> dict[str, dict[str, str]]:
    """What tables.json lists; nothing if no study was run."""
    return _read(folder / LIST) if (folder / LIST).exists() else {}


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return read_json(path)
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        return table.astype({"bits": "Int32"}) if "bits" in table else table
    except (OSError, ValueError, StudyError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); git checkout {path.name}, or run: make study") from None
