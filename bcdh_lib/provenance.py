"""What a trained run came from: settings, code and pairs. A result that came from others is refused, never mixed in."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bcdh_lib.losses import LOSSES, loss_of
from bcdh_lib.params import Params
from bcdh_lib.shallow import SHALLOW
from bcdh_lib.study import LIBRARY, Study

TRAINING = ("training.py", "training_set.py", "batches.py", "network.py", "whitening.py", "itq.py", "views.py")
MEASURING = ("codes.py", "metrics.py")


class ProvenanceError(ValueError):
    """A result that other settings, code or data gave; the message names the file, what differs and the mend."""


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
    own = Path(inspect.getfile(LOSSES[loss_of(method)]))
    others = {Path(inspect.getfile(loss)) for loss in LOSSES.values()} - {own}
    losses = {path for path in own.parent.glob("*.py") if path.name != "__init__.py"} - others
    return digest_of([*(LIBRARY / name for name in TRAINING + MEASURING), *sorted(losses)])


def code_of_coder(method: str) -> str:
    """Digest of the code that fits shallow codes."""
    return digest_of([LIBRARY / "shallow.py", Path(inspect.getfile(SHALLOW[method])), LIBRARY / "itq.py"])


def digest_of(files: Iterable[Path], *texts: str) -> str:
    """16 hexadecimal digits of the contents of files, and of texts."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def check(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ProvenanceError where the result in `path` was made with anything else than is wanted now."""
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise ProvenanceError(
            f"{path}: was made with other {', '.join(differing)}; bring these back, or remove {path.parent} to make it all anew"
        )
