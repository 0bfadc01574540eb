"""The comparison as committed, under reports/study: tables that notebook 06 draws and the headline is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bcdh_lib.params import in_a_line
from bcdh_lib.retrieval import FLOAT, OURS
from bcdh_lib.study import Study
from bcdh_lib.tables import TableError, read_table

READ = (
    *("summary", "mean", "against", "recentring", "curves", "bits", "ablations", "ablations_bits"),
    *("from_parent", "from_parent_summary", "from_parent_against", "from_parent_history"),
)


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


def from_parent_told(tables: dict[str, pd.DataFrame]) -> str:
    """What starting from the float parent gives, a sentence a code length, from the tables of read_study."""
    parent, history = tables["from_parent"], tables["from_parent_history"]
    lines = [f"mAP, mean over the benchmarks and {parent['seeds'].max()} seeds."]
    for bits, rows in parent[parent["bits"].notna()].groupby("bits"):
        trained = rows[rows["method"].isin(history["method"])].set_index("method")["map"]
        shallow = rows[~rows["method"].isin(history["method"])].set_index("method")["map"]
        rounds = history[history["bits"] == bits].groupby("method")["validation_map"]
        gained = rounds.max() - rounds.first()
        lines.append(
            f"{bits} bits: ours {trained[OURS]:.3f}, losses {trained.min():.3f} ({trained.idxmin()}) to {trained.max():.3f} "
            f"({trained.idxmax()}), best shallow code {shallow.max():.3f} ({shallow.idxmax()}); by training, validation rose at "
            f"most {gained.max():.3f} ({gained.idxmax()}), for ours {gained[OURS]:.3f}."
        )
    return "\n".join(lines)


def told(study: Study) -> str:
    """What the comparison was made of, a sentence a line: from its tables, provenance.json and minutes.json."""
    folder = study.reports / "study"
    made = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    minutes = json.loads((folder / "minutes.json").read_text(encoding="utf-8"))
    trials = pd.read_csv(folder / "trials.csv")
    trained = trials.loc[trials["method"] != FLOAT, "method"].nunique()
    rows = _read_csv(folder / "summary.csv")
    pieces = ", ".join(f"{each['pieces']:,} {kind.replace('_', ' ')} {each['minutes']:,.0f}" for kind, each in minutes.items())
    return (
        f"{trained} trained methods at {', '.join(map(str, sorted(rows['bits'].dropna().unique())))} bits with "
        f"{rows['seeds'].max()} seeds, and {rows['method'].nunique() - trained} kinds of vectors and shallow codes.\n"
        f"Each trained method was tuned by {trials.groupby('method')['number'].nunique().max()} random "
        f"configurations with {trials['seed'].nunique()} seeds on validation models;\n"
        f"{int(trials['fault'].notna().sum())} of {len(trials)} trials diverged.\n"
        f"Minutes of processes of {made['threads']} thread: {pieces}.\n"
        f"{made['machine']}, torch {made['versions']['torch']}, commit {made['commit']}."
    )
