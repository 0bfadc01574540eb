"""dvc.yaml: every stage names the code that it runs, and the settings and files of its step."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from bcdh_lib.core.code import modules_of
from bcdh_lib.study import STEPS

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHECKED = [name for name, stage in STAGES.items() if not stage.get("always_changed")]


def code_of(stage: str) -> set[Path]:
    """The files of bcdh_lib that a stage's command imports, and those of the notebook that it executes."""
    _, _, module, *arguments = STAGES[stage]["cmd"].split()
    source = f"import {module}"
    if module == "bcdh_lib.report.execute":
        notebook = nbformat.read(ROOT / f"notebooks/{arguments[0]}.ipynb", as_version=nbformat.NO_CONVERT)
        source += "".join(f"\n{cell.source}" for cell in notebook.cells if cell.cell_type == "code")
    elif (main := ROOT / module.replace(".", "/") / "__main__.py").is_file():
        source += "\nimport ".join(["", *re.findall(r"bcdh_lib[\w.]+", main.read_text())])
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = modules_of(*imported)
    places = [ROOT / module.replace(".", "/") for module in modules]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


def outs_of(stage: str) -> set[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


@pytest.mark.parametrize("stage", CHECKED)
def test_every_stage_names_the_code_it_runs(stage: str) -> None:
    named = [ROOT / dependency for dependency in STAGES[stage]["deps"]]
    top = {ROOT / f"bcdh_lib/{name}/__init__.py" for name in (".", "report")}
    missing = [file for file in code_of(stage) - top if not any(file.is_relative_to(path) for path in named)]
    assert [str(file.relative_to(ROOT)) for file in sorted(missing)] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_compute_stage_has_the_settings_and_files_of_its_step(step: str) -> None:
    assert STAGES[step]["params"] == list(STEPS[step].settings)
    outs = outs_of(step)
    assert f"data/stamps/{step}.json" in outs
    patterns = [*STEPS[step].writes, *(f"reports/{name}" for name in STEPS[step].reports)]
    for pattern in patterns:
        assert any(Path(out).match(pattern) for out in outs), pattern
    assert all(any(Path(out).match(pattern) for pattern in (*patterns, "data/stamps/*")) for out in outs)


def test_every_notebook_has_a_stage_that_depends_on_its_stripped_copy() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"work/stripped/{path.name}" in STAGES[path.stem]["deps"]
        assert f"notebooks/{path.name}" not in STAGES[path.stem]["deps"]
