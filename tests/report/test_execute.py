"""Notebooks as steps: what a run leaves behind, whether it ends well or not. Real papermill, real kernels, tiny notebooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.execute import execute, main

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_notebook(root: Path, *sources: str, name: str = "01_photos", kernel: str = "python3") -> None:
    cells = [new_markdown_cell("# A page"), new_code_cell("changes = {}", metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=cells + [new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": kernel, "language": "python", "display_name": kernel}
    nbformat.write(notebook, root / f"notebooks/{name}.ipynb")


def outputs(path: Path) -> list[list[nbformat.NotebookNode]]:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_two_runs_give_the_same_bytes_whatever_the_clock_the_memory_and_the_folder(root: Path) -> None:
    write_notebook(
        root,
        "import os, sys, time, pandas\nfrom pathlib import Path",
        "print('one', flush=True)\nprint('b' + 'ar', file=sys.stderr, flush=True)\ntime.sleep(0.3)\nprint(Path.cwd().parent)",
        "object()",
        "pandas.DataFrame({'bits': [16]}).style",
        "display(pandas.DataFrame({'bits': [1]}).style); display(pandas.DataFrame({'bits': [2]}).style)",
    )
    first = execute("01_photos", {"run": {"seed": 3}}).read_bytes()
    second = execute("01_photos", {"run": {"seed": 3}}).read_bytes()

    assert first == second
    text = first.decode()
    assert [
        trace for trace in (str(root), "papermill", 'execution"', "0x", "bar") if trace in text.replace("print('bar'", "")
    ] == []
    cells = outputs(root / "reports/executed/01_photos.ipynb")
    assert [output.text for output in cells[3]] == ["one\n.\n"]
    tables = [output.data["text/html"] for output in (*cells[5], *cells[6])]
    assert len({table.split('<table id="')[1].split('"')[0] for table in tables}) == 3


def test_changes_reach_the_notebook_and_stand_in_it(root: Path) -> None:
    write_notebook(root, "from bcdh_lib.study import open_study\nprint(open_study(changes).params.pairs.min_shared)")
    assert main(["01_photos", "--changes", '{"pairs": {"min_shared": 0.3}}']) == 0

    executed = nbformat.read(root / "reports/executed/01_photos.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "0.3\n"
    assert executed.cells[2].metadata.tags == ["injected-parameters"]
    assert nbformat.read(root / "notebooks/01_photos.ipynb", as_version=4).cells[2].source.startswith("from bcdh_lib")


def test_a_notebook_runs_in_its_own_folder_under_python3_whatever_kernel_saved_it(root: Path) -> None:
    write_notebook(root, "import os, sys; print(os.getcwd().endswith('notebooks'), sys.executable)", kernel="my-laptop")
    out = execute("01_photos")

    assert outputs(out)[1][0].text == f"True {sys.executable}\n"
    assert nbformat.read(out, as_version=4).metadata.kernelspec.name == "python3"


def test_a_notebook_that_names_no_kernel_runs_with_changes_too(root: Path) -> None:
    cell = new_code_cell("changes = {}", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell, new_code_cell("print(changes['run'])")]), root / "notebooks/01_photos.ipynb")
    assert outputs(execute("01_photos", {"run": {"seed": 1}}))[2][0].text == "{'seed': 1}\n"


def test_unfinished_work_of_the_step_alone_goes_once_the_notebook_is_written(root: Path) -> None:
    write_notebook(root, "1 + 1", name="03_pairs")
    for step in ("pairs", "training"):
        (root / "work" / step / "0123").mkdir(parents=True)
    execute("03_pairs")

    assert not (root / "work/pairs").exists()
    assert (root / "work/training/0123").exists()
    assert not (root / "work/executing/03_pairs.ipynb").exists()


def test_a_failing_cell_leaves_no_output_and_says_so_in_the_last_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(root, "print('so far')")
    execute("01_photos")
    write_notebook(
        root, "print('so far')", "raise ValueError('photos: is empty; put photos in')", "print('never')", name="01_photos"
    )
    (root / "work/photos/0123").mkdir(parents=True)

    assert main(["01_photos"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "01_photos, In [3]: ValueError: photos: is empty; put photos in"
    assert list((root / "reports/executed").iterdir()) == []  # the earlier run's page went too
    assert "so far" in (root / "work/failed/01_photos.ipynb").read_text()
    assert (root / "work/photos/0123").exists()  # so that the step goes on from there


def test_a_dead_kernel_is_a_failure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(root, "import os; os._exit(9)")

    assert main(["01_photos"]) == 1
    assert "its kernel died" in capsys.readouterr().err.splitlines()[-1]
    assert list((root / "reports/executed").iterdir()) == []
    assert (root / "work/failed/01_photos.ipynb").exists()


def test_progress_reaches_the_terminal_while_the_cell_runs_and_not_the_notebook(root: Path) -> None:
    """The cell waits for a file that this test writes once it has seen the bar, and fails where that never comes."""
    write_notebook(
        root,
        "import time\nfrom pathlib import Path\nfrom tqdm import tqdm\nend = time.time() + 30",
        "for step in tqdm(range(2), desc='pairing'):\n"
        "    while not Path('seen').exists():\n"
        "        assert time.time() < end\n"
        "        time.sleep(0.05)",
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "bcdh_lib.report.execute", "01_photos"], cwd=root, stderr=subprocess.PIPE, bufsize=0
    )
    assert run.stderr is not None
    bar = b""
    while b"pairing" not in bar and (piece := run.stderr.read(64)):
        bar += piece
    (root / "notebooks/seen").touch()
    bar += run.stderr.read()

    assert run.wait() == 0, bar.decode()
    assert b"2/2" in bar
    assert outputs(root / "reports/executed/01_photos.ipynb") == [[], [], []]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["07_dreams"], "07_dreams.ipynb: is not there; the notebooks here: 01_photos"),
        (["02_broken"], "02_broken.ipynb: is not a notebook"),
        (["03_fixed", "--changes", '{"run": {}}'], "03_fixed.ipynb: takes no changes; tag a cell `parameters`"),
    ],
)
def test_what_cannot_start_is_named_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    write_notebook(root)
    (root / "notebooks/02_broken.ipynb").write_text("{")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), root / "notebooks/03_fixed.ipynb")

    known = fault.replace("here: 01_photos", "here: 01_photos, 02_broken, 03_fixed")
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert known in line


@pytest.mark.parametrize("changes", ["{", "[1]", "3"])
def test_changes_that_are_no_json_object_are_refused(changes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["01_photos", "--changes", changes])
    assert stopped.value.code == 2
    assert "JSON" in capsys.readouterr().err


def test_outside_a_study_it_says_where_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["01_photos"]) == 1


def test_execution_error_is_raised_for_those_who_call_it_from_python(root: Path) -> None:
    write_notebook(root, "1 / 0")
    with pytest.raises(StudyError, match=r"In \[2\]: ZeroDivisionError: division by zero$"):
        execute("01_photos")
