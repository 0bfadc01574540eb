"""The results in short: the small table and the verdicts of the site's first page and of README.md, from reports/study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bcdh_lib.report.figures.comparison import in_words
from bcdh_lib.report.figures.style import BCDH, face
from bcdh_lib.retrieval.shallow import SHALLOW

ROLES = {
    "bcdh": "BCDH",
    "bcdh_end_to_end": "BCDH, end to end",
    "best_other_loss": "Best other loss",
    "best_other_loss_end_to_end": "Best other loss, end to end",
    "itq": "ITQ",
    "float_baseline": "Float baseline",
}
SCORINGS = {
    "hamming": "Hamming distance",
    "recentred": "Hamming distance, recentred",
    "asymmetric": "Asymmetric distance",
    "cosine": "Real vectors",
}
REAL = {"holidays300": "Holidays, 300 of 500 queries", "paris321": "Paris6k, 321 of 6,392 photos"}
"""Parts of published benchmarks, by the name of their folder."""
QUESTIONS = {
    "other_losses": "the other losses",
    "itq": "ITQ of the float baseline's vectors",
    "shallow_codes": "other shallow codes of these vectors",
}


@dataclass(frozen=True)
class Cell:
    map: str
    interval: str  # empty if there is none
    note: str  # the method, in a row that holds several
    best: bool  # of the codes of this length and scoring


@dataclass(frozen=True)
class SmallTable:
    """Cells by scoring and by role, one for each code length, None if nothing was measured."""

    seeds: int
    lengths: list[int]
    rows: dict[str, dict[str, list[Cell | None]]]


def headline_rows(tables: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of headline.csv, then those of the codes trained end to end (end_to_end.csv), if they were measured."""
    rows: pd.DataFrame = tables["headline"]
    if "end_to_end" not in tables:
        return rows
    table = tables["end_to_end"]
    trained = with_roles(table[(table["training"] == "end_to_end") & table["bits"].notna()])
    return pd.concat([rows, trained.assign(role=trained["role"] + "_end_to_end")])


def small_table(rows: pd.DataFrame, scorings: Sequence[str] = ("hamming", "asymmetric", "cosine")) -> SmallTable:
    """The small table of rows that have a role; real vectors have one figure for all lengths."""
    lengths = sorted({int(bits) for bits in rows["bits"].dropna()})
    table: dict[str, dict[str, list[Cell | None]]] = {}
    for scoring in scorings:
        scored = rows[rows["scoring"] == scoring]
        best = scored.groupby("bits")["map"].max()
        for role in [role for role in ROLES if role in set(scored["role"])]:
            own = scored[scored["role"] == role]
            cells = [_cell(own[own["bits"].isna() | (own["bits"] == bits)], best.get(bits)) for bits in lengths]
            table.setdefault(SCORINGS[scoring], {})[ROLES[role]] = cells
    return SmallTable(int(rows["seeds"].max()), lengths, table)


def with_roles(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of one benchmark's methods that belong in a small table, as in headline.csv."""
    roles = {BCDH: "bcdh", "itq": "itq", "float": "float_baseline"}
    named = table.assign(role=table["method"].map(roles)).dropna(subset="role")
    losses = table[table["bits"].notna() & ~table["method"].isin([BCDH, *SHALLOW])]
    best = losses.sort_values("map").groupby(["scoring", "bits"]).tail(1)
    return pd.concat([named, best.assign(role="best_other_loss")])


def _cell(rows: pd.DataFrame, best: float | None) -> Cell | None:
    if rows.empty:
        return None
    row = rows.iloc[0]
    interval = f"{row['low']:.3f}–{row['high']:.3f}" if row["high"] > row["low"] else ""
    note = face(str(row["method"])).label if "other_loss" in row["role"] else ""
    figure = f"{row['map']:.3f}"
    return Cell(figure, interval, note, best is not None and figure == f"{best:.3f}")


def verdicts(tables: Mapping[str, Any]) -> list[str]:
    """How often BCDH is significantly better and worse by Hamming distance: a sentence for each question, of the layers alone
    (differences.csv), then of the codes trained end to end (end_to_end_differences.csv)."""
    found = []
    for name, about in (("differences", "Against"), ("end_to_end_differences", "Trained end to end, against")):
        if name in tables:
            rows = tables[name]
            rows = rows[(rows["benchmark"] == "mean") & (rows["scoring"] == "hamming") & rows["question"].isin(QUESTIONS)]
            found += [f"{about} {QUESTIONS[str(asked)]}, {in_words(part)}." for asked, part in rows.groupby("question")]
    return found
