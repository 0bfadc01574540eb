"""The comparison as committed, under reports/study: tables that notebook 06 draws and the headline is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.tables import read_table
from bcdh_lib.core.text import one_line
from bcdh_lib.retrieval.score import FLOAT, OURS
from bcdh_lib.study import Study

READ = (
    *("summary", "mean", "against", "recentring", "curves", "bits", "ablations", "ablations_bits"),
    *("from_parent", "from_parent_summary", "from_parent_against", "from_parent_history"),
    *("larger_pile", "larger_pile_summary", "larger_pile_against", "larger_pile_history"),
)


def read_study(study: Study) -> dict[str, pd.DataFrame]:
    """The committed tables of the comparison, by name; `queries` among them. Raises StudyError where one is not there."""
    folder = study.reports / "study"
    tables = {name: _read_csv(folder / f"{name}.csv") for name in READ}
    return tables | {"queries": read_table(folder, "queries")}


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
        return table.astype({"bits": "Int32"}) if "bits" in table else table
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{path}: cannot be read ({one_line(error)}); bring it back with git checkout, or run: make study"
        ) from None


def from_parent_told(tables: dict[str, pd.DataFrame]) -> str:
    """What starting from the float parent gives, a sentence a code length, from the tables of read_study."""
    parent, history = tables["from_parent"], tables["from_parent_history"]
    lines = [f"mAP, mean over the benchmarks and {parent['seeds'].max()} seeds."]
    for bits, rows in parent[parent["bits"].notna()].groupby("bits"):
        rounds = history[history["bits"] == bits].groupby("method")["validation_map"]
        gained = rounds.max() - rounds.first()
        lines.append(
            f"{bits} bits: {_reached(rows, history)}; by training, validation rose at "
            f"most {gained.max():.3f} ({gained.idxmax()}), for ours {gained[OURS]:.3f}."
        )
    return "\n".join(lines)


def larger_pile_told(tables: dict[str, pd.DataFrame]) -> str:
    """What a larger pile to learn from gives, a sentence a code length, from the tables of read_study."""
    larger, history, default = tables["larger_pile"], tables["larger_pile_history"], tables["mean"]
    parent = larger.loc[larger["method"] == FLOAT, "map"].iloc[0]
    lines = [f"mAP, mean over the benchmarks and {larger['seeds'].max()} seeds; the float parent {parent:.3f}."]
    for bits, rows in larger[larger["bits"].notna()].groupby("bits"):
        before = default[(default["method"] == OURS) & (default["bits"] == bits)]["map"].iloc[0]
        best = history[(history["bits"] == bits) & (history["method"] == OURS)].set_index("round")["validation_map"].idxmax()
        counts = [int(rows[verdict].sum()) for verdict in ("win", "tie", "loss")]
        lines.append(
            f"{bits} bits: {_reached(rows, history)}; ours of the default pile {before:.3f}. Against all: {counts[0]} wins, "
            f"{counts[1]} ties, {counts[2]} losses. Ours validates best after round {best}."
        )
    return "\n".join(lines)


def _reached(rows: pd.DataFrame, history: pd.DataFrame) -> str:
    """The mAP of ours, of the losses and of the best shallow code, at one code length; trained are the methods of `history`."""
    trained = rows[rows["method"].isin(history["method"])].set_index("method")["map"]
    shallow = rows[~rows["method"].isin(history["method"])].set_index("method")["map"]
    return (
        f"ours {trained[OURS]:.3f}, losses {trained.min():.3f} ({trained.idxmin()}) to {trained.max():.3f} "
        f"({trained.idxmax()}), best shallow code {shallow.max():.3f} ({shallow.idxmax()})"
    )


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
