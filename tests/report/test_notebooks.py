"""The notebooks as they are kept, thin and stripped; what a run of one writes, whether it ends well or not, with real kernels."""

import ast
import re
import statistics
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bcdh_lib.report.execute import execute, main, read_notebook
from bcdh_lib.report.notebook import KERNEL, stripped, stripped_text
from tests.helpers import refused

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLUMBING = (ast.AsyncFunctionDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try)  # 04 shows a new loss: a class with a function
LONGEST, MEDIAN, WIDEST = 12, 6, 100  # lines of a code cell, and letters of a line: the page shows no more without scrolling


def tries(notebook):
    """The blocks of code of the last cell, "Try this", each to be run in a new cell at the end; test_end_to_end runs them."""
    return re.findall(r"^```python\n(.*?)^```", notebook.cells[-1].source, flags=re.DOTALL | re.MULTILINE)


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


PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A study without notebooks. Temporary files lie in a folder with a long name: a socket's path must be short."""
    temporary = tmp_path / ("deep" * 30)
    for folder in (temporary, tmp_path / "notebooks"):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_notebook(root, *sources):
    cells = [new_markdown_cell("# A page"), new_code_cell("changes = {}", metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=cells + [new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "my-laptop", "language": "python", "display_name": "My laptop"}
    nbformat.write(notebook, root / "notebooks/01_photos.ipynb")


def outputs(path):
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_two_runs_give_the_same_bytes_whatever_the_clock_the_memory_and_the_folder(root, capfd):
    """Progress reaches the terminal and not the notebook; the notebook strips to the text that it was made from."""
    source = "print('one', flush=True)\nfor step in tqdm(range(2), desc='b' + 'ar'): time.sleep(0.2)\nprint(Path.cwd().parent)"
    write_notebook(root, "import time\nfrom pathlib import Path\nfrom tqdm.auto import tqdm", source, "object()")
    kept = stripped(read_notebook(root / "notebooks/01_photos.ipynb"))
    first, second = (execute("01_photos").read_text() for _ in range(2))
    assert first == second
    assert [trace for trace in (str(root), "papermill", 'execution"', "0x", "bar") if trace in first] == []
    executed = root / "reports/executed/01_photos.ipynb"
    assert [output.text for output in outputs(executed)[2]] == ["one\n.\n"]
    assert "bar: 100%" in capfd.readouterr().err
    again = stripped(read_notebook(executed))
    assert [each["cells"][-1]["source"] for each in (kept, again)] == ["object()"] * 2
    assert [cell | {"id": ""} for cell in again["cells"]] == [cell | {"id": ""} for cell in kept["cells"]]


def test_changes_reach_the_notebook_and_leave_the_studys_page_alone(root):
    """It runs in its own folder under python3, whatever kernel saved it."""
    source = "print(Path.cwd().name, sys.executable, open_study(changes).params.pairs.min_shared)"
    write_notebook(root, "import sys\nfrom pathlib import Path\nfrom bcdh_lib.study import open_study", source)
    own = execute("01_photos")
    before = own.read_bytes()
    tried = execute("01_photos", {"pairs": {"min_shared": 0.3}})
    assert own.read_bytes() == before
    assert nbformat.read(own, as_version=4).metadata.kernelspec.name == "python3"
    assert outputs(own)[-1][0].text == f"notebooks {sys.executable} 0.2\n"
    assert tried.is_relative_to(root / "work/try")
    assert outputs(tried)[-1][0].text == f"notebooks {sys.executable} 0.3\n"
    assert nbformat.read(tried, as_version=4).cells[2].metadata.tags == ["injected-parameters"]
    assert nbformat.read(root / "notebooks/01_photos.ipynb", as_version=4).cells[2].source.startswith("import sys")


def test_a_failing_cell_leaves_no_output_and_says_so_in_the_last_line(root, capsys):
    page = root / "reports/executed/01_photos.ipynb"
    page.parent.mkdir(parents=True)
    page.write_text("of an earlier run")
    write_notebook(root, "print('so far')", "raise ValueError('photos: is empty; put photos in')", "print('never')")
    assert main(["01_photos"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "01_photos, In [3]: ValueError: photos: is empty; put photos in"
    assert list(page.parent.iterdir()) == []
    assert "so far" in (root / "work/failed/01_photos.ipynb").read_text()
    write_notebook(root, "import os; os._exit(9)")
    assert main(["01_photos"]) == 1
    assert "its kernel died" in capsys.readouterr().err.splitlines()[-1]
    assert list(page.parent.iterdir()) == []


def test_what_cannot_start_is_named_in_one_line(root):
    write_notebook(root)
    (root / "notebooks/02_broken.ipynb").write_text("{")
    with refused("07_dreams.ipynb: does not exist; the notebooks in this folder: 01_photos, 02_broken"):
        execute("07_dreams")
    with refused("02_broken.ipynb: is not a notebook"):
        execute("02_broken")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), root / "notebooks/03_fixed.ipynb")
    with refused("03_fixed.ipynb: takes no changes"):
        execute("03_fixed", {"run": {}})
