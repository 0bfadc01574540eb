"""The page of all measurements, from the reports that the scripts beside this one wrote.

    python performance/table.py

Makes docs/performance.md anew. Each script that says of itself that it writes a report has a section: what its docstring says,
and the report as tables; a test holds the page to the reports. A sentence of SAID is filled in with the report's own figures.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from bcdh_lib.core.files import write_bytes
from bcdh_lib.study import find_root

HEAD = """# Measurements

Written by `python performance/table.py` from the JSON files in [reports](../reports); not to be edited by hand. Each section is a
script of [performance](../performance) in its own words, with the command that measures anew. Times are of the machine that the
report was made on, most often two busy cores: ratios of what took turns say more than seconds.
"""
SAID = {
    "candidates": "{share_of_pairs:.1%} of all pairs were tried, and {share_of_registered:.1%} of the photos registered that "
    "matching all pairs registers.",
    "metrics_speed": "Asked for were at least {goal[ratio]} times the plain loop's speed and at most {goal[peak_mb]:,} MB. "
    "Found: {side_by_side[methods][1][ratio]} times, and {whole[peak_mb]:,} MB with {whole[block]} queries a block.",
    "encoding": "Asked for were at most 10 % over tensors. Found on {cores} cores, which read and encode by turns: "
    "{as_they_are[ratio]} times their time for the study's own photos, {1024_px[ratio]} at 1024 px and {4000_px[ratio]} at "
    "4000 px; cores beside those that encode, as many as `cores_to_keep_up` says, would hide the reading.",
    "pairs_scale": "{photos:,} photos gave {pairs:,} pairs in {pairs_s} s and {peak_mb:,} MB. Beside the plain loop at least 20 "
    "times its speed was asked for: found {beside[0][ratio]} with {beside[0][points_a_photo]} points a photo, and "
    "{beside[1][ratio]} with {beside[1][points_a_photo]}.",
    "step": "With {measured[0][backbone]} on this device a run takes {measured[0][run_h]:,} h and all {runs} runs "
    "{measured[0][all_runs_h]:,} h; at the published speed {published[0][run_h]:,} h and {published[0][all_runs_h]:,} h.",
}
"""By report: what it says, in words."""


def page(scripts: Path, reports: Path) -> str:
    """The whole page, a section a script of the folder `scripts` that writes a report, by the reports' names."""
    docs = {path.name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in scripts.glob("*.py")}
    written = {found[1]: doc for doc in docs.values() if (found := re.search(r"Writes reports/(\w+)\.json", doc))}
    return "\n".join([HEAD, *(section(name, written[name], reports / f"{name}.json") for name in sorted(written))])


def section(name: str, doc: str, report: Path) -> str:
    """One report: its name, the script's own words, SAID, tables. Where there is no report yet, it says so."""
    words = f"## {name}\n\n{doc}"
    if not report.is_file():
        return f"{words}\n\nNot measured yet.\n"
    figures = json.loads(report.read_text(encoding="utf-8"))
    said = [SAID[name].format_map(figures)] if name in SAID else []
    return "\n\n".join([words, *said, *tables(figures)]) + "\n"


def tables(figures: dict[str, Any]) -> list[str]:
    """Single figures as one table, nested names joined by a colon; then each list of rows as a table, under its name."""
    single, lists = {}, {}
    for name, figure in _flat(figures, ""):
        (lists if isinstance(figure, list) else single)[name] = figure
    found = [_table(["figure", "value"], [[name, figure] for name, figure in single.items()])] if single else []
    for name, rows in lists.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        found.append(f"{name}:\n\n{_table(columns, [[row.get(column) for column in columns] for row in rows])}")
    return found


def _flat(figures: dict[str, Any], before: str) -> list[tuple[str, Any]]:
    found = []
    for name, figure in figures.items():
        found += _flat(figure, f"{before}{name}: ") if isinstance(figure, dict) else [(before + name, figure)]
    return found


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_shown(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    """A figure as it is, with commas in its thousands; nothing where there is none."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    root = find_root()
    write_bytes(root / "docs/performance.md", page(root / "performance", root / "reports").encode())
