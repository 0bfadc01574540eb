"""Executing notebooks: what a run writes, whether it ends well or not. Real papermill, real kernels, tiny notebooks."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.execute import execute, main, read_notebook, stripped

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
        "import os, sys, time\nfrom pathlib import Path",
        "print('one', flush=True)\nprint('b' + 'ar', file=sys.stderr, flush=True)\ntime.sleep(0.3)\nprint(Path.cwd().parent)",
        "object()",
    )
    first, second = (execute("01_photos", {"run": {"seed": 3}}).read_bytes() for _ in range(2))

    assert first == second
    text = first.decode()
    assert [
        trace for trace in (str(root), "papermill", 'execution"', "0x", "bar") if trace in text.replace("print('bar'", "")
    ] == []
    cells = outputs(execute("01_photos", {"run": {"seed": 3}}))
    assert [output.text for output in cells[3]] == ["one\n.\n"]


def test_changes_reach_the_notebook_and_leave_the_studys_page_alone(root: Path) -> None:
    write_notebook(root, "from bcdh_lib.study import open_study\nprint(open_study(changes).params.pairs.min_shared)")
    own = execute("01_photos")
    before = own.read_bytes()
    tried = execute("01_photos", {"pairs": {"min_shared": 0.3}})

    assert own.read_bytes() == before
    assert tried.is_relative_to(root / "work/try")
    executed = nbformat.read(tried, as_version=4)
    assert executed.cells[-1].outputs[0].text == "0.3\n"
    assert executed.cells[2].metadata.tags == ["injected-parameters"]
    assert nbformat.read(root / "notebooks/01_photos.ipynb", as_version=4).cells[2].source.startswith("from bcdh_lib")


def test_a_notebook_runs_in_its_own_folder_under_python3_whatever_kernel_saved_it(root: Path) -> None:
    write_notebook(root, "import os, sys; print(os.getcwd().endswith('notebooks'), sys.executable)", kernel="my-laptop")
    out = execute("01_photos")

    assert outputs(out)[1][0].text == f"True {sys.executable}\n"
    assert nbformat.read(out, as_version=4).metadata.kernelspec.name == "python3"


def test_a_failing_cell_leaves_no_output_and_says_so_in_the_last_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(root, "print('so far')")
    execute("01_photos")
    write_notebook(
        root, "print('so far')", "raise ValueError('photos: is empty; put photos in')", "print('never')", name="01_photos"
    )

    assert main(["01_photos"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "01_photos, In [3]: ValueError: photos: is empty; put photos in"
    assert list((root / "reports/executed").iterdir()) == []  # the earlier run's page went too
    assert "so far" in (root / "work/failed/01_photos.ipynb").read_text()


def test_a_dead_kernel_is_a_failure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(root, "import os; os._exit(9)")
    assert main(["01_photos"]) == 1
    assert "its kernel died" in capsys.readouterr().err.splitlines()[-1]
    assert list((root / "reports/executed").iterdir()) == []


def test_progress_reaches_the_terminal_and_not_the_notebook(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_notebook(root, "from tqdm.auto import tqdm", "for step in tqdm(range(2), desc='pairing'): pass")
    assert main(["01_photos"]) == 0
    assert "pairing: 100%" in capfd.readouterr().err
    assert outputs(root / "reports/executed/01_photos.ipynb") == [[], [], []]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("07_dreams", "07_dreams.ipynb: does not exist; the notebooks in this folder: 01_photos, 02_broken"),
        ("02_broken", "02_broken.ipynb: is not a notebook"),
    ],
)
def test_what_cannot_start_is_named_in_one_line(root: Path, capsys: pytest.CaptureFixture[str], name: str, fault: str) -> None:
    write_notebook(root)
    (root / "notebooks/02_broken.ipynb").write_text("{")
    assert main([name]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert fault in line


def test_changes_need_a_cell_that_takes_them(root: Path) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), root / "notebooks/03_fixed.ipynb")
    with pytest.raises(StudyError, match=r"03_fixed.ipynb: takes no changes"):
        execute("03_fixed", {"run": {}})


def test_a_long_temporary_folder_does_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path must be shorter than about 100 characters."""
    deep = root / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", None)
    write_notebook(root, "print(1)")
    assert outputs(execute("01_photos"))[1][0].text == "1\n"


def test_an_executed_notebook_strips_to_the_same_text(root: Path) -> None:
    write_notebook(root, "print('much')")
    before = nbformat.writes(stripped(read_notebook(root / "notebooks/01_photos.ipynb")))
    (root / "notebooks/01_photos.ipynb").write_bytes(execute("01_photos").read_bytes())
    after = stripped(read_notebook(root / "notebooks/01_photos.ipynb"))
    assert "much" not in str([cell.get("outputs") for cell in after.cells])
    assert [cell.source for cell in after.cells] == [cell["source"] for cell in nbformat.reads(before, 4).cells]
    assert nbformat.writes(stripped(after)) == nbformat.writes(after)
