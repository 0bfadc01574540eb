"""The notebooks as they are kept: thin, in order, without outputs, and ready for papermill."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = ["00_overview", "01_photos", "02_reconstruction", "03_pairs", "04_training", "05_retrieval", "06_comparison"]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLUMBING = (ast.AsyncFunctionDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try)  # 04 shows a new loss: a class with a function
LONGEST, MEDIAN, WIDEST = 12, 6, 100  # lines of a code cell, and letters of a line: the page shows no more without scrolling


def faults(notebook: NotebookNode) -> list[str]:
    """What keeps the notebook from being thin, stripped and executable; empty where nothing does."""
    found = []
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3" or set(notebook.metadata) != {"kernelspec"}:
        found.append(f"metadata must hold kernelspec python3 alone, not {kernel} and {sorted(notebook.metadata)}")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("the first cell must begin with: # Title")
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        found.append("each cell needs an id of its own")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parameters = [cell.source for cell in code if "parameters" in cell.metadata.get("tags", [])]
    if parameters != ["changes = {}"]:
        found.append(f"one cell, tagged parameters, must hold: changes = {{}}; there are {parameters}")
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number}: {fault}" for fault in cell_faults(cell)]
    lines = [len(cell.source.splitlines()) for cell in code]
    if lines and (statistics.median(lines) > MEDIAN or max(lines) > LONGEST):
        found.append(f"code cells are too long: {lines} lines")
    return found


def cell_faults(cell: NotebookNode) -> list[str]:
    found = [f"metadata {key} must go" for key in cell.metadata if key != "tags"]
    if cell.cell_type != "code":
        return found
    if cell.outputs or cell.execution_count is not None:
        found.append("outputs and execution counts must go; strip them with: nbstripout notebooks/*.ipynb")
    if not cell.source.strip():
        found.append("is empty")
    if any(len(line) > WIDEST for line in cell.source.splitlines()):
        found.append(f"a line is longer than {WIDEST} letters")
    plumbing = {type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, PLUMBING)}
    return found + [f"{kind} belongs in bcdh_lib" for kind in sorted(plumbing)]


def tries(notebook: NotebookNode) -> list[str]:
    """The blocks of code of the last cell, "Try this", each to be run in a new cell at the end; test_end_to_end runs them."""
    return re.findall(r"^```python\n(.*?)^```", notebook.cells[-1].source, flags=re.DOTALL | re.MULTILINE)


def test_they_are_the_pipeline_in_order() -> None:
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_is_thin_stripped_and_executable(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert faults(notebook) == []
    text = "\n".join(cell.source for cell in notebook.cells)
    for part in ("- **In**:", "- **Out**:", "- **Minutes on 2 cores**:", "## What we learned"):
        assert part in text
    assert notebook.cells[-1].source.startswith("## Try this")
    assert len(tries(notebook)) in (2, 3)
    assert all(ast.parse(source) for source in tries(notebook))
