"""Gives the notebooks the metadata of the kernel, so that JupyterLab does not mark one as changed that is only opened.

Git and DVC see notebooks without it (.gitattributes, dvc.yaml).
"""

import json
import subprocess
from pathlib import Path

from ipykernel.ipkernel import IPythonKernel

FOLDER = Path(__file__).parents[1] / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}  # as tools/setup.sh installs it


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False).stdout


for path in sorted(FOLDER.glob("*.ipynb")):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    wanted = notebook["metadata"] | {"kernelspec": KERNEL, "language_info": IPythonKernel.language_info}
    if wanted != notebook["metadata"]:
        unchanged = git("ls-files", path.name) and not git("diff", "--", path.name)
        path.write_text(json.dumps(notebook | {"metadata": wanted}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if unchanged and not git("diff", "--", path.name):
            git("add", path.name)  # the same content: Git only notes the new size, and lists no change
