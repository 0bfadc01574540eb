"""The comparison as committed, under reports/study: tables that notebook 06 draws and the headline is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bcdh_lib.params import in_a_line
from bcdh_lib.retrieval import FLOAT
from bcdh_lib.study import Study
from bcdh_lib.tables import TableError, read_table

READ = ("summary", "mean", "against", "recentring", "curves", "bits", "ablations", "ablations_bits")


def read_study(study: Study) -> dict[str, pd.DataFrame]:
    """The committed tables of the comparison, by name; `queries` among them. Raises TableError where one is not there."""
    folder = study.reports / "study"
    tables = {name: _read_csv(folder / f"{name}.csv") for name in READ}
    return tables | {"queries": read_table(folder, "queries")}


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
        return table.astype({"bits": "Int32"}) if "bits" in table else table
    except (OSError, ValueError) as error:
        raise TableError(
            f"{path}: cannot be read ({in_a_line(error)}); bring it back with git checkout, or run: make study"
        ) from None


def told(study: Study) -> str:
    """What the comparison was made of, a sentence a line: from its tables, provenance.json and minutes.json."""
    folder = study.reports / "study"
    made = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    minutes = json.loads((folder / "minutes.json").read_text(encoding="utf-8"))
    trials = pd.read_csv(folder / "trials.csv")
    trained = trials.loc[trials["method"] != FLOAT, "method"].nunique()
    rows = _read_csv(folder / "summary.csv")
    pieces = ", ".join(f"{each['pieces']:,} {kind} in {each['minutes']:,.0f} minutes" for kind, each in minutes.items())
    return (
        f"{trained} trained methods at {', '.join(map(str, sorted(rows['bits'].dropna().unique())))} bits with "
        f"{rows['seeds'].max()} seeds, and {rows['method'].nunique() - trained} kinds of vectors and shallow codes.\n"
        f"Each trained method was tuned by {trials.groupby('method')['number'].nunique().max()} random "
        f"configurations with {trials['seed'].nunique()} seeds on validation models;\n"
        f"{int(trials['fault'].notna().sum())} of {len(trials)} trials diverged.\n"
        f"Work of processes of {made['threads']} thread: {pieces}.\n"
        f"{made['machine']}, torch {made['versions']['torch']}, commit {made['commit']}."
    )
