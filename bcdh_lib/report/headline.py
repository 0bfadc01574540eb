"""The results in short, from the committed tables, for the site's first page and README.md.

`python -m bcdh_lib.report.headline` writes every figure of README.md between its marks, `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bcdh_lib.comparison.page import markdown_table
from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import read_json, write_bytes
from bcdh_lib.report.figures.comparison import in_words
from bcdh_lib.report.figures.style import BCDH, face
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import find_root

COUNTS = {
    "photos": "photos",
    "left_out": "files left out",
    "models": "3D models",
    "registered": "photos in a model",
    "pairs": "similar pairs",
}
ROLES = {"bcdh": "BCDH", "best_other_loss": "Best other loss", "itq": "ITQ", "float_baseline": "Float baseline"}
SCORINGS = {
    "hamming": "Hamming distance",
    "recentred": "Hamming distance, recentred",
    "asymmetric": "Asymmetric distance",
    "cosine": "Real vectors",
}
REAL = {"holidays300": "Holidays, 300 of 500 queries", "paris321": "Paris6k, 321 of 6,392 photos"}
"""Parts of published benchmarks, by the name of their folder."""
MEASURED = ("minutes", "set_up_minutes", "memory_gb", "disk_gb")
"""Figures of reports/repro.json, by performance/repro.py."""
SHOWN = ("hamming", "asymmetric", "cosine")
"""The scorings of the small table."""
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


def small_table(headline: pd.DataFrame, scorings: Sequence[str] = SHOWN) -> SmallTable:
    """The small table from headline.csv; real vectors have one figure for all lengths."""
    lengths = sorted({int(bits) for bits in headline["bits"].dropna()})
    table: dict[str, dict[str, list[Cell | None]]] = {}
    for scoring in scorings:
        rows = headline[headline["scoring"] == scoring]
        best = rows.groupby("bits")["map"].max()
        for role in [role for role in ROLES if role in set(rows["role"])]:
            found = {bits: rows[(rows["role"] == role) & (rows["bits"].isna() | (rows["bits"] == bits))] for bits in lengths}
            cells = [None if each.empty else _cell(each.iloc[0], best.get(bits)) for bits, each in found.items()]
            table.setdefault(SCORINGS[scoring], {})[ROLES[role]] = cells
    return SmallTable(int(headline["seeds"].max()), lengths, table)


def with_roles(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of one benchmark's methods that belong in a small table, as in headline.csv."""
    parts = {
        role: table[table["method"] == method] for role, method in (("bcdh", BCDH), ("itq", "itq"), ("float_baseline", "float"))
    }
    losses = table[table["bits"].notna() & ~table["method"].isin([BCDH, *SHALLOW])]
    parts["best_other_loss"] = losses.sort_values("map").groupby(["scoring", "bits"]).tail(1)
    return pd.concat([rows.assign(role=role) for role, rows in parts.items()])


def _cell(row: pd.Series, best: float | None) -> Cell:
    interval = f"{row['low']:.3f}–{row['high']:.3f}" if row["high"] > row["low"] else ""
    note = face(str(row["method"])).label if row["role"] == "best_other_loss" else ""
    figure = f"{row['map']:.3f}"
    return Cell(figure, interval, note, best is not None and figure == f"{best:.3f}")


def verdicts(differences: pd.DataFrame | None) -> list[str]:
    """How often BCDH is significantly better and worse than other losses and shallow codes, a sentence for each question."""
    if differences is None:
        return []
    rows = differences[(differences["benchmark"] == "mean") & (differences["scoring"] == "hamming")]
    return [f"Against {QUESTIONS.get(str(question), question)}, {in_words(part)}." for question, part in rows.groupby("question")]


def read_counts(path: Path) -> list[tuple[str, int]]:
    """The counts of metrics.json that are not 0, with their words, in the pipeline's order. Raises StudyError."""
    try:
        counts = dict(read_json(path)["counts"])
        return [(words, int(counts[key])) for key, words in COUNTS.items() if int(counts.get(key, 0))]
    except (StudyError, KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); make it with: dvc repro") from None


def markdown(headline: pd.DataFrame, differences: pd.DataFrame | None = None) -> str:
    """The small table in Markdown, then how it is measured and what the comparison says."""
    table = small_table(headline)
    lines = [["mAP", *(f"{bits} bits" for bits in table.lengths)]]
    for scoring, roles in table.rows.items():
        for role, cells in roles.items():
            label = f"{role}, asymmetric" if scoring == SCORINGS["asymmetric"] else role
            figures = ["" if cell is None else f"**{cell.map}**" if cell.best else cell.map for cell in cells]
            notes = [f" ({cell.note})" if cell and cell.note else "" for cell in cells]
            lines.append([f"**{label}**" if role == ROLES["bcdh"] else label, *map("".join, zip(figures, notes, strict=True))])
    about = (
        f"Mean average precision over the rendered benchmarks, mean over {table.seeds} seeds. Bold: the best code of "
        "its length, by Hamming distance and by asymmetric distance (the query's real outputs against bits)."
    )
    return "\n\n".join([markdown_table(lines), " ".join([about, *verdicts(differences)])])


def facts(root: Path) -> dict[str, str]:
    """The figures of README.md by the names of their marks, those whose table exists. Raises StudyError."""
    tables, found = read_tables(root), {}
    if "headline" in tables:
        found["headline"] = f"\n\n{markdown(tables['headline'], tables.get('differences'))}\n\n"
    if "provenance" in tables:
        hours = sum(kind["minutes"] for kind in tables["provenance"]["minutes"].values()) / 60
        found["study_hours"] = f"{hours:.1f}"
    if (root / "reports/repro.json").is_file():
        found |= {name: f"{figure:.0f}" for name, figure in read_json(root / "reports/repro.json").items() if name in MEASURED}
    shipped = root / "reports/default_network.csv"
    if shipped.is_file():
        rows = pd.read_csv(shipped)
        figures = [f"{row.map:.3f} ({REAL.get(row.benchmark, row.benchmark)})" for row in rows.itertuples()]
        found["default_network"] = f"On real photos its codes have a mAP of {' and '.join(figures)}."
    return found


def fill(text: str, figures: dict[str, str]) -> str:
    """The text with each figure between its marks; one that is not there leaves what the text says."""
    return re.sub(
        r"<!-- (\w+) -->(.*?)<!-- /\1 -->",
        lambda match: f"<!-- {match[1]} -->{figures.get(match[1], match[2])}<!-- /{match[1]} -->",
        text,
        flags=re.DOTALL,
    )


def write() -> None:
    """Write the figures into README.md. Raises StudyError."""
    root = find_root()
    readme = root / "README.md"
    write_bytes(readme, fill(readme.read_text(encoding="utf-8"), facts(root)).encode())


if __name__ == "__main__":
    sys.exit(exit_code(write, "stopped; README.md is unchanged"))
