"""The notebooks as they are kept: thin, in order, without outputs, and ready for papermill."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from bcdh_lib.report.notebook import KERNEL, stripped, stripped_text

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = ["00_overview", "01_photos", "02_reconstruction", "03_pairs", "04_training", "05_retrieval", "06_comparison"]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLUMBING = (ast.AsyncFunctionDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try)  # 04 shows a new loss: a class with a function
LONGEST, MEDIAN, WIDEST = 12, 6, 100  # lines of a code cell, and letters of a line: the page shows no more without scrolling


def tries(notebook):
    """The blocks of code of the last cell, "Try this", each to be run in a new cell at the end; test_end_to_end runs them."""
    return re.findall(r"^```python\n(.*?)^```", notebook.cells[-1].source, flags=re.DOTALL | re.MULTILINE)


def test_they_are_the_pipeline_in_order():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_is_thin_stripped_and_executable(path):
    """If it has outputs or other metadata: nbstripout notebooks/*.ipynb"""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == KERNEL["name"]
    assert notebook.cells == stripped(notebook)["cells"]
    assert stripped_text(path) == nbformat.writes(nbformat.from_dict(stripped(notebook)))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["changes = {}"]
    lines = [len(cell.source.splitlines()) for cell in code]
    assert min(lines) > 0
    assert statistics.median(lines) <= MEDIAN
    assert max(lines) <= LONGEST
    for cell in code:
        assert max(map(len, cell.source.splitlines())) <= WIDEST, cell.source
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, PLUMBING)], cell.source

    text = "\n".join(cell.source for cell in notebook.cells)
    assert text.startswith("# ")
    for part in ("- **In**:", "- **Out**:", "- **Minutes on 2 cores**:", "## What we learned"):
        assert part in text
    assert notebook.cells[-1].source.startswith("## Try this")
    assert len(tries(notebook)) in (2, 3)
    assert all(ast.parse(source) for source in tries(notebook))
