"""Makes JupyterLab open quietly: without dialogs, and without marking a notebook as changed that is only opened.

The notebooks get the metadata of the kernel; Git and DVC see them without it (.gitattributes, dvc.yaml).
"""

import json
import subprocess
import sys
from pathlib import Path

from ipykernel.ipkernel import IPythonKernel
from jupyter_client.kernelspec import get_kernel_spec

FOLDER = Path(__file__).parents[1] / "notebooks"
SETTINGS = {
    "page_config.json": {"buildAvailable": False, "buildCheck": False},  # open3d brings dash, whose extension asks for a build
    "overrides.json": {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}},
}


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False).stdout


kernel = get_kernel_spec("python3")
kernelspec = {"display_name": kernel.display_name, "language": kernel.language, "name": "python3"}
folder = Path(sys.prefix, "share/jupyter/lab/settings")
folder.mkdir(parents=True, exist_ok=True)
for name, values in SETTINGS.items():
    (folder / name).write_text(json.dumps(values) + "\n", encoding="utf-8")
clean = set(git("ls-files").splitlines()) - set(git("diff", "--name-only", "--relative").splitlines())
rewritten = []
for path in sorted(FOLDER.glob("*.ipynb")):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    wanted = notebook["metadata"] | {"kernelspec": kernelspec, "language_info": IPythonKernel.language_info}
    if wanted != notebook["metadata"]:
        path.write_text(json.dumps(notebook | {"metadata": wanted}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        rewritten += [path.name] if path.name in clean else []
if rewritten and not git("diff", "--", rewritten[0]):
    git("add", *rewritten)  # the same content after the filter: Git only notes the new sizes, and lists no change
