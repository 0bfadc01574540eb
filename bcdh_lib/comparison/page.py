"""The figures of docs/study.md: `python -m bcdh_lib.comparison.page` writes each marked table from reports/study.

A mark names a table, what to choose, and what to show: columns, or ROWS x COLUMNS: VALUE.

    <!-- table real_mean: scoring=recentred bits=32|128; trained_on,method x bits: map -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from bcdh_lib.comparison.tables import read_tables
from bcdh_lib.core.errors import StudyError, exit_code
from bcdh_lib.core.files import write_bytes
from bcdh_lib.study import find_root

MARK = re.compile(r"(<!-- table (?P<name>\w+):(?P<choice>[^;]*);(?P<shown>[^-]*)-->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, root: Path) -> str:
    """The text with every marked table as reports/study has it. Raises StudyError if a mark asks for what is not there."""
    tables = {prefix + name: table for prefix in ("", "real_") for name, table in read_tables(root, prefix).items()}

    def written(mark: re.Match[str]) -> str:
        if mark["name"] not in tables:
            return f"{mark[1]}\n(not run yet)\n\n{mark[5]}"
        try:
            return f"{mark[1]}\n{shown(tables[mark['name']], mark['choice'], mark['shown'])}\n\n{mark[5]}"
        except (KeyError, ValueError) as error:
            raise StudyError(f"docs/study.md: {mark[1].strip()} asks for what {mark['name']} does not have: {error}") from None

    return MARK.sub(written, text)


def shown(table: pd.DataFrame, choice: str, what: str) -> str:
    """Rows of a table in Markdown: the chosen ones, then the columns or the cross table that `what` names.

    In a cross table of differences those with a verdict are bold.
    """
    for key, values in (each.split("=") for each in choice.split()):
        table = table[table[key].astype(str).isin(values.split("|"))]
    if " x " in what:
        rows, columns, value = re.split(r" x |: ", what.strip())
        sure = table["verdict"].isin(["better", "worse"]) if "verdict" in table else pd.Series(False, table.index)
        texts = table[value].map(_text)
        table = table.assign(**{value: texts.where(~sure, "**" + texts + "**")})
        table = table.pivot_table(index=rows.split(","), columns=columns, values=value, sort=False, aggfunc="first").reset_index()
    else:
        table = table[what.split()]
    return markdown_table([table.columns, *table.itertuples(index=False)])


def markdown_table(lines: Sequence[Iterable[object]]) -> str:
    """A table in Markdown; the first line is its head."""
    head, *rows = [list(map(_text, line)) for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _text(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write() -> None:
    """Write the tables into docs/study.md. Raises StudyError."""
    root = find_root()
    page = root / "docs/study.md"
    write_bytes(page, fill(page.read_text(encoding="utf-8"), root).encode())


if __name__ == "__main__":
    sys.exit(exit_code(write, "stopped; docs/study.md is unchanged"))
