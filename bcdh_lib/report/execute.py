"""Execute a notebook of the study: `python -m bcdh_lib.report.execute 03_pairs`.

notebooks/03_pairs.ipynb runs through papermill and becomes reports/executed/03_pairs.ipynb, without anything that differs between
two runs of one study. Progress bars are text and go to the terminal; in JupyterLab they are widgets. A run that fails writes
nothing to reports/executed; the notebook as far as it got is in work/failed.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.report.notebook import stripped
from bcdh_lib.study import find_root, open_study

TEXT_BARS = "--IPKernelApp.exec_lines=import sys; sys.modules['tqdm.notebook'] = None"  # no browser is there to show widgets


def execute(name: str, changes: Mapping[str, Any] | None = None, root: Path | None = None) -> Path:
    """Execute notebooks/`name`.ipynb; return the path of the executed notebook. Raises StudyError, also if a cell fails.

    With `changes` laid over params.yaml that is in the sandbox of these changes, and the study's own page stays.
    """
    root = root or find_root()
    source, out = root / f"notebooks/{name}.ipynb", open_study(changes, root).reports / f"executed/{name}.ipynb"
    running, failed = root / f"work/executing/{name}.ipynb", root / f"work/failed/{name}.ipynb"
    notebook = nbformat.from_dict(stripped(read_notebook(source)))
    if changes and not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise StudyError(f"{source}: takes no changes; tag a cell `parameters` and write in it: changes = {{}}")
    for path in (out, running, failed):  # so that the results of an earlier run are not mistaken for this run's
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    nbformat.write(notebook, running)
    try:
        # Unix sockets, whose path must be short: a port could be taken by another kernel that starts at the same time.
        with tempfile.TemporaryDirectory(prefix="bcdh-", dir="/tmp" if os.access("/tmp", os.W_OK) else None) as sockets:
            executed = papermill.execute_notebook(
                running,
                running,
                parameters={"changes": dict(changes)} if changes else None,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                stderr_file=sys.stderr,
                extra_arguments=[TEXT_BARS],
                coalesce_streams=True,  # the kernel cuts a stream at times that vary
                cwd=source.parent,
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
            )
    except (PapermillExecutionError, DeadKernelError) as error:
        os.replace(running, failed)
        raise StudyError(_message(name, error, failed.relative_to(root))) from None
    nbformat.write(normalised(executed, root), running)
    os.replace(running, out)
    return out


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at `path`. Raises StudyError if it is missing or damaged."""
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.ipynb"))) or "none"
        raise StudyError(f"{path}: does not exist; the notebooks in this folder: {known}")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises many kinds of errors on files that are not notebooks
        raise StudyError(f"{path}: is not a notebook ({one_line(error)})") from None
    return notebook


def normalised(notebook: NotebookNode, root: Path) -> NotebookNode:
    """The executed notebook without what differs between two runs: times, ids, stderr, addresses in memory, the study's path."""
    normal = nbformat.from_dict(stripped(notebook))
    normal.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    for number, (cell, executed) in enumerate(zip(normal.cells, notebook.cells, strict=True), start=1):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = executed.execution_count
            cell.outputs = [output for output in executed.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                for texts in (output, output.get("data", {})):
                    for kind in [kind for kind in texts if kind == "text" or kind.startswith("text/")]:
                        text = texts[kind].replace(f"{root}{os.sep}", "").replace(str(root), ".")
                        texts[kind] = re.sub(r" at 0x[0-9a-f]+", "", text)
    return normal


def _message(name: str, error: Exception, failed: Path) -> str:
    """The traceback, the path of the failed notebook, and last the error itself."""
    path = f"The notebook as far as it got: {failed}"
    if isinstance(error, PapermillExecutionError):
        return f"{error}\n{path}\n{name}, In [{error.exec_count}]: {error.ename}: {error.evalue}"
    return f"{path}\n{name}: its kernel died, which happens if memory runs out; try smaller settings"


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 if the notebook ran to its end, 1 if it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bcdh_lib.report.execute", description="Execute a notebook of the study.")
    parser.add_argument("notebook", help="its name in notebooks/, such as 03_pairs")
    name = parser.parse_args(arguments).notebook.removesuffix(".ipynb")
    stopped = f"{name}: stopped; the same command continues from there"
    return exit_code(lambda: print(execute(name).relative_to(find_root())), stopped)


if __name__ == "__main__":
    sys.exit(main())
