"""The study on somebody's own photos, in a folder of its own: a copy of what `dvc repro` needs, the library included."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bcdh_lib.core.code import LIBRARY
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import read_yaml
from bcdh_lib.params import load_params
from bcdh_lib.photos.folder import path_in_table

TEMPLATE = LIBRARY.parent
"""The checkout that this library is installed from; its study is what is copied."""
ALWAYS = ("bcdh_lib", "notebooks", "params.yaml", "dvc.yaml", ".dvc/config", ".dvcignore")
UNUSED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "cells", "trials", "ablations")
QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""


def settings_for(photos: Path, exclude: Sequence[str] = ()) -> dict[str, Any]:
    """What params.yaml must say, by dotted key, to learn from this folder and to measure on places that training never sees."""
    settings: dict[str, Any] = {
        "photos.source": "folder",
        "photos.folder": path_in_table(photos.resolve()),
        "pairs.source": "reconstruction",
        "pairs.test_share": 0.2,
        "retrieval.benchmarks": ["collection"],
    }
    return settings | ({"photos.exclude": list(exclude)} if exclude else {})


def prepare_study(photos: Path, into: Path, exclude: Sequence[str] = (), template: Path = TEMPLATE) -> bool:
    """Make the study of the photos in `into`, a copy of the one at `template`.

    Returns whether it did: a study that is there stays as it is, with settings edited by hand. Raises StudyError.
    """
    _check_places(photos, into)
    if (into / "params.yaml").is_file():
        folder = load_params(into / "params.yaml").photos.folder
        if folder != path_in_table(photos.resolve()):
            raise StudyError(f"{into / 'params.yaml'}: photos.folder is {folder}, not {photos}; name another folder with --into")
        return False
    missing = [name for name in ("params.yaml", "dvc.yaml", "notebooks") if not (template / name).exists()]
    if missing:
        raise StudyError(
            f"{template}: has no {', '.join(missing)}, which `bcdh learn` copies; install bcdh from a clone: pip install -e CLONE"
        )
    part = into.with_name(f".{into.name}.bcdh-part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        _copy(template, part)
        settings = part / "params.yaml"
        settings.write_text(with_settings(settings.read_text("utf-8"), settings_for(photos, exclude)), "utf-8")
        load_params(settings)
        os.replace(part, into)
    except OSError as error:
        raise StudyError(f"{error.filename or part}: cannot be written ({error.strerror or error}); make room there") from None
    return True


def _check_places(photos: Path, into: Path) -> None:
    if not photos.is_dir():
        raise StudyError(f"{photos}: {'is a file' if photos.exists() else 'does not exist'}; name the folder of your photos")
    if os.pathsep in str(into.resolve()):
        raise StudyError(f"{into.resolve()}: has a {os.pathsep!r} in its path, which separates paths; name another with --into")
    if into.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(into.resolve()):
        raise StudyError(f"{into}: one of study and photos lies in the other; photos are only read, so name another --into")
    if into.exists() and not (into.is_dir() and ((into / "params.yaml").is_file() or not any(into.iterdir()))):
        raise StudyError(f"{into}: exists and is no study; name another folder with --into")


def _copy(template: Path, into: Path) -> None:
    """Copy the library, the notebooks, and every file that dvc.yaml depends on and no stage makes."""
    stages = read_yaml(template / "dvc.yaml")["stages"].values()
    outs = {_name(out) for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])}
    needed = {_name(dep) for stage in stages for dep in stage.get("deps", [])}
    made = {name for name in needed if any(Path(name).is_relative_to(out) or Path(out).is_relative_to(name) for out in outs)}
    copied: list[str] = []
    for name in [*ALWAYS, *sorted(needed - made)]:
        if any(Path(name).is_relative_to(done) for done in copied) or not (template / name).exists():
            continue
        copied.append(name)
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        if (template / name).is_dir():
            shutil.copytree(template / name, into / name, ignore=UNUSED, dirs_exist_ok=True)
        else:
            shutil.copy(template / name, into / name)
    (into / ".dvc").mkdir(exist_ok=True)
    (into / ".dvc/config.local").write_text("[core]\n    no_scm = true\n", "utf-8")  # no git needed


def _name(entry: Any) -> str:
    """The path of an entry of dvc.yaml, which may have options."""
    return str(next(iter(entry))) if isinstance(entry, dict) else str(entry)


def with_settings(text: str, settings: dict[str, Any]) -> str:
    """The text of params.yaml with some settings replaced, by dotted key; comments and all else stay.

    Raises StudyError if a key is not on a line of its own.
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
        raise StudyError(f"params.yaml: {min(missing)}: is not on a line of its own; write it so")
    return "\n".join(lines) + "\n"


def reproduce(study: Path) -> int:
    """Run `dvc repro` in the study's folder, with this Python and that folder's library; returns its exit code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(study.resolve())}
    return subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=study, env=environment, check=False).returncode


def best_checkpoint(study: Path) -> Path | None:
    """The network to index with: BCDH's longest codes, or else the longest of any method; None if nothing was trained."""
    runs = load_params(study / "params.yaml").training.runs
    hashed = [run for run in runs if run.bits and (study / f"data/checkpoints/{run.name}.safetensors").is_file()]
    best = max(hashed, key=lambda run: (run.method == "binary_constrained", run.bits), default=None)
    return study / f"data/checkpoints/{best.name}.safetensors" if best else None
