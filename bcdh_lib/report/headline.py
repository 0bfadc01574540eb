"""What the site's first page and the README say of the results: this run's counts, and the small table of the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import read_json
from bcdh_lib.report.figures.comparison import in_words
from bcdh_lib.report.figures.style import face
from bcdh_lib.study import find_root

COUNTS = {
    "photos": "photos",
    "left_out": "files left out",
    "models": "3D models",
    "registered": "photos in a model",
    "pairs": "similar pairs",
}
ROLES = {"bcdh": "BCDH", "best_other_loss": "Best other loss", "itq": "ITQ", "float_baseline": "Float baseline"}
SCORINGS = {"hamming": "symmetric", "cosine": "symmetric", "asymmetric": "asymmetric"}
MARKS = ("<!-- headline: written by python -m bcdh_lib.report.headline -->", "<!-- end of the headline -->")


@dataclass(frozen=True)
class Cell:
    map: str
    interval: str  # empty if there is none
    note: str  # the method, if a row has several
    best: bool


@dataclass(frozen=True)
class Row:
    label: str
    own: bool
    cells: list[Cell | None]


@dataclass(frozen=True)
class Headline:
    """The small table: BCDH, the best other loss, ITQ and the float baseline at each code length."""

    seeds: int
    lengths: list[int]
    rows: list[Row]


def read_counts(path: Path) -> list[tuple[str, int]]:
    """The counts of metrics.json with their words, in the pipeline's order. Raises StudyError if it is missing or damaged."""
    try:
        counts = dict(read_json(path)["counts"])
        return [(words, int(counts[key])) for key, words in COUNTS.items() if key in counts]
    except (StudyError, KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); make it with: dvc repro") from None


def read_csv(path: Path) -> pd.DataFrame | None:
    """A committed table of the comparison; None if `make study` never wrote it. Raises StudyError if it is damaged."""
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); restore it with git checkout") from None


def headline(table: pd.DataFrame) -> Headline:
    """The small table from headline.csv: symmetric scoring first, then BCDH with asymmetric distances."""
    table = table[table["scoring"].isin(SCORINGS)]
    lengths = sorted({int(bits) for bits in table["bits"].dropna()})
    symmetric = table[table["scoring"] != "asymmetric"]
    rows = [_row(ROLES[role], symmetric[symmetric["role"] == role], lengths) for role in ROLES]
    asymmetric = table[(table["scoring"] == "asymmetric") & (table["role"] == "bcdh")]
    if len(asymmetric):
        rows.insert(1, _row("BCDH, asymmetric distance", asymmetric, lengths))
    return Headline(int(table["seeds"].max()), lengths, _with_best([row for row in rows if any(row.cells)]))


def _row(label: str, rows: pd.DataFrame, lengths: list[int]) -> Row:
    """One row of the table; real vectors have the same figure at every length."""
    cells: list[Cell | None] = []
    for bits in lengths:
        found = rows[(rows["bits"] == bits) | rows["bits"].isna()]
        if found.empty:
            cells.append(None)
            continue
        row = found.iloc[0]
        note = face(str(row["method"])).label if rows["method"].nunique() > 1 or label == ROLES["best_other_loss"] else ""
        interval = f"{row['low']:.3f} to {row['high']:.3f}" if row["high"] > row["low"] else ""
        cells.append(Cell(f"{row['map']:.3f}", interval, note, best=False))
    return Row(label, label.startswith("BCDH"), cells)


def _with_best(rows: list[Row]) -> list[Row]:
    """The rows with the best symmetric code of each length marked."""
    plain = [row for row in rows if row.label not in (ROLES["float_baseline"], "BCDH, asymmetric distance")]

    def best(row: Row, column: int) -> bool:
        cell = row.cells[column]
        return row in plain and cell is not None and all(cell.map >= other.map for each in plain if (other := each.cells[column]))

    def marked(row: Row) -> list[Cell | None]:
        return [cell and Cell(cell.map, cell.interval, cell.note, best(row, column)) for column, cell in enumerate(row.cells)]

    return [Row(row.label, row.own, marked(row)) for row in rows]


def markdown(headline_table: pd.DataFrame, differences: pd.DataFrame | None = None) -> str:
    """The small table in Markdown, then what the comparison says in a sentence; every figure comes from the tables."""
    table = headline(headline_table)
    lines = [["mAP", *(f"{bits} bits" for bits in table.lengths)], ["---"] * (1 + len(table.lengths))]
    for row in table.rows:
        cells = ["" if cell is None else (f"**{cell.map}**" if cell.best else cell.map) for cell in row.cells]
        notes = [f" ({cell.note})" if cell and cell.note else "" for cell in row.cells]
        lines.append([f"**{row.label}**" if row.own else row.label, *map("".join, zip(cells, notes, strict=True))])
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    about = (
        f"Mean average precision over the rendered benchmarks, mean over {table.seeds} seeds. Bold: the best code of each length."
    )
    return "\n\n".join([rows, " ".join([about, *verdicts(differences)])])


def verdicts(differences: pd.DataFrame | None) -> list[str]:
    """How often BCDH is significantly better and worse than other losses and shallow codes, a sentence for each question."""
    if differences is None:
        return []
    rows = differences[(differences["benchmark"] == "mean") & (differences["scoring"] == "hamming")]
    words = {
        "other_losses": "the other losses",
        "itq": "ITQ of the float baseline's vectors",
        "shallow_codes": "other shallow codes of these vectors",
    }
    return [f"Against {words.get(str(question), question)}, {in_words(part)}." for question, part in rows.groupby("question")]


LONG_TABLES = {
    "mean": "Every method at every code length, mean over the benchmarks",
    "benchmarks": "Every method on every benchmark",
    "differences": "BCDH minus each method, with intervals and corrected p",
    "models": "mAP by number of 3D models",
    "ablations": "Ablations of BCDH",
    "history": "Training by rounds, mean over the seeds",
    "trials": "Every configuration that tuning tried",
    "bits": "How the bits behave",
}
"""Committed tables that the site shows in full, and their titles."""


def main() -> None:
    """Write the small table into README.md, between its two marks."""
    root = find_root()
    table = read_csv(root / "reports/study/headline.csv")
    if table is None:
        raise SystemExit(f"{root / 'reports/study/headline.csv'}: does not exist; make it with: make study")
    text = markdown(table, read_csv(root / "reports/study/differences.csv"))
    readme = root / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    readme.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
