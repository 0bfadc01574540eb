"""dvc.yaml names, for every stage, all the code that the stage runs: else a change would not make it run again."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
import yaml

from bcdh_lib.comparison.study_tables import READ

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LEFT_OUT = {"params", "study", "figures"}
"""What every stage imports and no result hangs on: settings are followed by their values; paths; a list of names."""


def imported(source: str) -> set[str]:
    """Modules of bcdh_lib that the source imports, as dotted names without the package; names from one may be modules too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("bcdh_lib.") for name in found if name.startswith("bcdh_lib.")}


def file_of(module: str) -> Path | None:
    place = ROOT / "bcdh_lib" / module.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def run_by(source: str) -> set[Path]:
    """Every file of bcdh_lib that running the source imports, directly or not, but what LEFT_OUT names."""
    files: set[Path] = set()
    waiting = [source]
    while waiting:
        modules = imported(waiting.pop())
        fresh = {file for module in modules - LEFT_OUT if (file := file_of(module))} - files
        files |= fresh
        waiting += [file.read_text() for file in fresh]
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_names_the_code_it_runs(stage):
    _, _, module, *arguments = STAGES[stage]["cmd"].split()
    files = run_by(f"import {module}")
    if module == "bcdh_lib.report.execute":
        notebook = nbformat.read(ROOT / f"notebooks/{arguments[0]}.ipynb", as_version=nbformat.NO_CONVERT)
        files |= run_by("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    named = [ROOT / dependency for dependency in STAGES[stage]["deps"]]
    missing = [file for file in files if not any(file.is_relative_to(path) for path in named)]
    assert [str(file.relative_to(ROOT)) for file in sorted(missing)] == []


def test_the_comparison_names_the_tables_it_draws():
    named = set(STAGES["comparison"]["deps"])
    assert {f"reports/study/{name}.csv" for name in READ} | {"reports/study/queries.parquet"} <= named


def test_imports_are_followed_through_modules():
    assert ROOT / "bcdh_lib/training/itq.py" in run_by("from bcdh_lib.training.train import train_all")
    assert ROOT / "bcdh_lib/photos/folder.py" in run_by("import bcdh_lib.photos")
    assert run_by("import torch") == set()
