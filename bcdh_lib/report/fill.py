"""The figures of README.md, docs and notebooks: `python -m bcdh_lib.report.fill` writes each between its mark and `<!-- end -->`.

    <!--repro.minutes:.0f-->16<!--end-->     a value of reports/repro.json or .csv and its format; `*` sums, numbers count rows
    <!-- headline -->                        the small table
    <!-- table real_mean: scoring=recentred bits=32|128; trained_on,method x bits: map -->

A table's mark names a table of reports/study or a .csv of reports, what to choose, and what to show: columns, or
ROWS x COLUMNS: VALUE. What was never measured stays as it is.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bcdh_lib.comparison.tables import STUDIES, read_tables
from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import read_json, write_bytes
from bcdh_lib.report.figures.style import benchmark_label, face
from bcdh_lib.report.headline import ROLES, SCORINGS, headline_rows, small_table, verdicts
from bcdh_lib.study import find_root

MARK = re.compile(
    r"(?P<mark><!-- ?(?:(?P<headline>headline)|table (?P<table>\w+):(?P<choice>[^;]*);(?P<shown>.*?)"
    r"|(?P<file>[\w/]+)\.(?P<keys>[\w.*]+):(?P<form>\S+?)) ?-->)(?P<old>.*?)(?P<end><!-- ?end ?-->)",
    re.DOTALL,
)

LABELS: dict[str, Callable[[str], str]] = {
    "method": lambda name: face(name).label,
    "role": lambda role: ROLES.get(role, role),
    "against": lambda other: ROLES.get(other, face(other).label),
    "benchmark": benchmark_label,
    **dict.fromkeys(("ablation", "training", "question"), lambda name: name.replace("_", " ")),
}
"""The words that a page shows for the values of a column."""


def fill(text: str, root: Path) -> str:
    """The text with every figure as reports/ has it. Raises StudyError if a mark asks for what a table does not have."""
    tables = {prefix + name: table for prefix in STUDIES for name, table in read_tables(root, prefix).items()}

    def filled(mark: re.Match[str]) -> str:
        new = mark["old"]
        try:
            if mark["headline"] and "headline" in tables:
                new = f"\n\n{headline(tables)}\n\n"
            elif mark["table"]:
                name = mark["table"]
                found = tables[name] if name in tables else pd.DataFrame(_read(root / "reports" / name))
                new = f"\n\n{'(not run yet)' if found.empty else shown(found, mark['choice'], mark['shown'])}\n\n"
            elif mark["file"]:
                source, keys = _read(root / "reports" / mark["file"]), mark["keys"].split(".")
                if isinstance(source, list) or keys[0] in source:
                    new = format(_value(source, keys), mark["form"])
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise StudyError(f"{mark['mark']}: asks for what is not there ({one_line(error)})") from None
        return mark["mark"] + new + mark["end"]

    return MARK.sub(filled, text)


def _read(path: Path) -> Any:
    """The values of path.json or the rows of path.csv; nothing if there is neither."""
    if path.with_suffix(".csv").is_file():
        return pd.read_csv(path.with_suffix(".csv")).to_dict("records")
    return read_json(path.with_suffix(".json")) if path.with_suffix(".json").is_file() else {}


def _value(values: Any, keys: Sequence[str]) -> Any:
    """The value at the end of a path of keys, rows by number; * means all keys, whose values are added."""
    if "*" in keys:
        place = keys.index("*")
        return sum(_value(each, keys[place + 1 :]) for each in _value(values, keys[:place]).values())
    for key in keys:
        values = values[int(key) if isinstance(values, list) else key]
    return values


def shown(table: pd.DataFrame, choice: str, what: str) -> str:
    """The chosen rows in Markdown, as the columns or the cross table that `what` names; significant differences are bold."""
    for key, values in (each.split("=") for each in choice.split()):
        table = table[table[key].astype(str).isin(values.split("|"))]
    table = table.assign(**{column: table[column].map(label) for column, label in LABELS.items() if column in table})
    if " x " in what:
        rows, columns, value = re.split(r" x |: ", what.strip())
        sure = table["verdict"].isin(["better", "worse"]) if "verdict" in table else pd.Series(False, table.index)
        texts = table[value].map(_text)
        table = table.assign(**{value: texts.where(~sure, "**" + texts + "**")})
        table = table.pivot_table(index=rows.split(","), columns=columns, values=value, sort=False, aggfunc="first").reset_index()
    else:
        table = table[what.split()]
    return markdown_table([table.columns, *table.itertuples(index=False)])


def headline(tables: dict[str, Any]) -> str:
    """The small table in Markdown, then how it is measured and what the comparison says."""
    table = small_table(headline_rows(tables))
    lines = [["mAP", *(f"{bits} bits" for bits in table.lengths)]]
    for scoring, roles in table.rows.items():
        for role, cells in roles.items():
            label = f"{role}, asymmetric" if scoring == SCORINGS["asymmetric"] else role
            figures = ["" if cell is None else f"**{cell.map}**" if cell.best else cell.map for cell in cells]
            notes = [f" ({cell.note})" if cell and cell.note else "" for cell in cells]
            own = role.startswith(ROLES["bcdh"])
            lines.append([f"**{label}**" if own else label, *map("".join, zip(figures, notes, strict=True))])
    about = (
        f"Mean average precision over the rendered benchmarks, mean over {table.seeds} seeds. Bold: the best code of "
        "its length, by Hamming distance and by asymmetric distance (the query's real outputs against bits)."
    )
    return "\n\n".join([markdown_table(lines), " ".join([about, *verdicts(tables)])])


def markdown_table(lines: Sequence[Iterable[object]]) -> str:
    """A table in Markdown; the first line is its head."""
    head, *rows = [list(map(_text, line)) for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _text(value: object) -> str:
    return "" if pd.isna(value) else f"{value:.3f}" if isinstance(value, float) else str(value)  # type: ignore[call-overload]


def write() -> None:
    """Write the figures into their pages; one that does not change is not written. Raises StudyError."""
    root = find_root()
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "notebooks").glob("*.ipynb"))]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    for page, text in {page: fill(text, root) for page, text in texts.items()}.items():
        if text != texts[page]:
            write_bytes(page, text.encode())


if __name__ == "__main__":
    sys.exit(exit_code(write, "stopped; the pages are unchanged"))
