"""The study on somebody's own photos, in a folder of its own: nothing of the study that it is copied from is changed.

What is copied is what `dvc repro` needs, the library with it: the code that DVC follows is the code that runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.study import find_root

COPIED = (
    "bcdh_lib",
    "notebooks",
    "reports/candidates.json",
    "reports/study",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvcignore",
)

QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""


def settings_for(photos: Path) -> dict[str, Any]:
    """What params.yaml must say, by dotted key, to learn from this folder and to measure on models that training never sees."""
    return {
        "photos.source": "folder",
        "photos.folder": str(photos.resolve()),
        "pairs.source": "reconstruction",
        "pairs.test_share": 0.2,
        "retrieval.benchmarks": ["collection"],
    }


def prepare_study(photos: Path, into: Path, root: Path | None = None) -> bool:
    """Make the study of the photos in `into`, a copy of the one at `root` (default: around the working directory).

    Returns whether it did: where that study is there already, it stays as it is, settings edited by hand included.
    Raises StudyError, FileNotFoundError.
    """
    _check(photos, into)
    if (into / "params.yaml").is_file():
        folder = load_params(into / "params.yaml").photos.folder
        if folder is None or (into / Path(folder).expanduser()).resolve() != photos.resolve():
            raise StudyError(f"{into / 'params.yaml'}: photos.folder is {folder}, not {photos}; name another with --into")
        return False
    root = find_root(root)
    new = into.with_name(f".{into.name}.bcdh-part")
    shutil.rmtree(new, ignore_errors=True)
    for name in COPIED:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(
                root / name,
                new / name,
                ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "cells", "trials", "ablations"),
            )
        else:
            shutil.copy(root / name, new / name)
    (new / ".dvc/config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")  # no git needed
    written = with_settings((new / "params.yaml").read_text(encoding="utf-8"), settings_for(photos))
    (new / "params.yaml").write_text(written, encoding="utf-8")
    load_params(new / "params.yaml")
    os.replace(new, into)
    return True


def _check(photos: Path, into: Path) -> None:
    if not photos.is_dir():
        raise StudyError(f"{photos}: is {'a file' if photos.exists() else 'not there'}; name the folder of your photos")
    if into.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(into.resolve()):
        raise StudyError(f"{into}: study and photos must lie apart, these are only read; name another folder with --into")
    if into.exists() and not (into.is_dir() and ((into / "params.yaml").is_file() or not any(into.iterdir()))):
        raise StudyError(f"{into}: is there and holds no study; name another folder with --into")


def with_settings(text: str, settings: dict[str, Any]) -> str:
    """The text of params.yaml with settings of its sections, by dotted key, replaced; comments and all else stay.

    Raises StudyError where a key does not stand on a line of its own.
    """
    section, missing, lines = "", dict(settings), []
    for line in text.splitlines():
        if found := re.match(r"(\w+):", line):
            section = found[1]
        found = re.fullmatch(rf"(  (\w+):\s+)(?:{QUOTED}|\S.*?)(\s+#.*)?", line)
        key = f"{section}.{found[2]}" if found else ""
        if found and key in missing:
            # In a list of one, as plain or as quoted as YAML needs it.
            value = yaml.safe_dump([missing.pop(key)], default_flow_style=True, width=10**6, allow_unicode=True)
            line = f"{found[1]}{value.strip()[1:-1]}{found[3] or ''}"
        lines.append(line)
    if missing:
        raise StudyError(f"params.yaml: {min(missing)}: stands on no line of its own; write it so")
    return "\n".join(lines) + "\n"


def reproduce(study: Path) -> int:
    """Run `dvc repro` in the study's folder, its stages and notebooks by this Python and that folder's library; its exit code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(study.resolve())}
    return subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=study, env=environment, check=False).returncode
