"""Notebooks executed as steps of the study: `python -m bcdh_lib.report.execute 03_pairs`.

notebooks/03_pairs.ipynb runs through papermill in the notebooks folder and becomes reports/executed/03_pairs.ipynb, without
what differs between two runs of one study. Progress bars reach the terminal and not the notebook. A run that fails leaves
nothing in reports/executed; how far it got lies in work/failed.
"""

from __future__ import annotations

import argparse
import json
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

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line
from bcdh_lib.study import find_root, open_study


def execute(name: str, changes: Mapping[str, Any] | None = None, root: Path | None = None) -> Path:
    """Execute notebooks/`name`.ipynb of the study at `root` with `changes` laid over params.yaml; return what it wrote.

    Raises StudyError where there is no such notebook, it takes no changes, or a cell fails.
    """
    root = root or find_root()
    source, out = root / f"notebooks/{name}.ipynb", root / f"reports/executed/{name}.ipynb"
    running, failed = root / f"work/executing/{name}.ipynb", root / f"work/failed/{name}.ipynb"
    _check(source, changes)
    for path in (out, running, failed):  # what an earlier run left must not pass for this one's
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bcdh-") as sockets:
            notebook = papermill.execute_notebook(
                source,
                running,
                parameters={"changes": dict(changes)} if changes else None,
                kernel_name="python3",  # whatever kernel the notebook was last saved with
                language="python",
                progress_bar=False,
                stderr_file=sys.stderr,
                cwd=source.parent,
                # Sockets in a folder of this run's own: no port that another kernel could take, nothing on the network.
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
            )
    except (PapermillExecutionError, DeadKernelError) as error:
        os.replace(running, failed)
        raise StudyError(_fault(name, error, failed.relative_to(root))) from None
    nbformat.write(normalised(notebook, root), running)
    os.replace(running, out)
    open_study(changes, root).forget(re.sub(r"^\d+_", "", name))
    return out


def normalised(notebook: NotebookNode, root: Path) -> NotebookNode:
    """The executed notebook without what differs between two runs of one study.

    Gone are papermill's and the kernel's notes and times, random ids, what was written to stderr, addresses in memory
    and the study's own path.
    """
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {})
        if cell.cell_type == "code":
            cell.outputs = _joined([output for output in cell.outputs if output.get("name") != "stderr"])
            for place, output in enumerate(cell.outputs):
                _clean(output, root, f"T_{number}_{place}")
    return notebook


def _check(source: Path, changes: Mapping[str, Any] | None) -> None:
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in source.parent.glob("*.ipynb"))) or "none"
        raise StudyError(f"{source}: is not there; the notebooks here: {known}")
    try:
        notebook = nbformat.read(source, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever nbformat stumbles over in a file that is no notebook
        raise StudyError(f"{source}: is not a notebook ({one_line(error)})") from None
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if changes and not any(re.match(r"changes\b", source) for source in tagged):
        raise StudyError(f"{source}: takes no changes; tag a cell `parameters` and write in it: changes = {{}}")


def _fault(name: str, error: Exception, kept: Path) -> str:
    """The traceback, where the notebook was kept, and last the plain fault."""
    kept_line = f"The notebook, as far as it got: {kept}"
    if isinstance(error, PapermillExecutionError):
        return f"{error}\n{kept_line}\n{name}, In [{error.exec_count}]: {error.ename}: {error.evalue}"
    return f"{kept_line}\n{name}: its kernel died, as happens when memory runs out; try smaller settings"


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs with neighbouring stretches of one stream made one: where the kernel cuts a stream depends on the clock."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _clean(output: NotebookNode, root: Path, styler: str) -> None:
    """Take the study's path, addresses in memory and pandas' random Styler ids out of an output's texts, in place."""
    for texts in (output, output.get("data", {})):
        for kind in texts:
            if kind == "text" or kind.startswith("text/"):
                text = texts[kind].replace(f"{root}{os.sep}", "").replace(str(root), ".")
                text = re.sub(r" at 0x[0-9a-f]+", "", text)
                texts[kind] = re.sub(r"\bT_[0-9a-f]{5}(?=\b|_)", styler, text) if kind == "text/html" else text


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 where the notebook ran to its end, 1 where it failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bcdh_lib.report.execute", description="Execute one notebook of the study.")
    parser.add_argument("notebook", help="its name in notebooks/, as in 03_pairs")
    parser.add_argument(
        "--changes", type=_mapping, help='settings laid over params.yaml, as JSON: \'{"pairs": {"min_shared": 0.3}}\''
    )
    options = parser.parse_args(arguments)
    try:
        out = execute(options.notebook.removesuffix(".ipynb"), options.changes)
    except (StudyError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.notebook}: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    print(out.relative_to(find_root()))
    return 0


def _mapping(text: str) -> dict[str, Any]:
    try:
        changes = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error})") from None
    if not isinstance(changes, dict):
        raise argparse.ArgumentTypeError("must be a JSON object of settings by section")
    return changes


if __name__ == "__main__":
    sys.exit(main())
