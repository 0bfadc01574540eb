"""Where a study lives and with which settings: the one object that the steps share."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Params, load_params

LIBRARY = Path(__file__).parent


@dataclass(frozen=True)
class Study:
    """A folder with a params.yaml, and the settings read from it. Every file of the study is named here."""

    root: Path
    params: Params

    @property
    def photos(self) -> Path:
        """The folder of the photos stage: photos.parquet, left_out.parquet and images/, decoded once."""
        return self.root / "data/photos"

    @property
    def rendered_pool(self) -> Path:
        """The pile of photos that the study renders for itself, under opaque names (photos.source: rendered)."""
        return self.root / "data/pool"

    @property
    def benchmarks(self) -> Path:
        """A folder a benchmark, each in its published on-disk form."""
        return self.root / "data/benchmarks"

    @property
    def truth(self) -> Path:
        """True landmark of each rendered pool photo. Only bcdh_lib.pairs.diagnostics may read it."""
        return self.root / "data/truth/landmarks.parquet"

    @property
    def reconstruction(self) -> Path:
        """models/N/ in COLMAP's own format, and the tables of what they hold."""
        return self.root / "data/reconstruction"

    @property
    def pairs(self) -> Path:
        return self.root / "data/pairs"

    @property
    def checkpoints(self) -> Path:
        return self.root / "data/checkpoints"

    def checkpoint(self, run: str) -> Path:
        """The best network of a training run; its facts lie beside it as .json."""
        return self.checkpoints / f"{run}.safetensors"

    def start(self, run: str) -> Path:
        """What a training run started from, beside the pretrained backbone."""
        return self.checkpoints / f"{run}.start.safetensors"

    @property
    def codes(self) -> Path:
        return self.root / "data/codes"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def image(self, photo_id: int) -> Path:
        """The decoded, upright copy of a photo."""
        return self.photos / "images" / f"{photo_id:07d}.jpg"

    def unfinished(self, step: str, settings: Any, inputs: Iterable[Path], code: str | None = None) -> Path:
        """The folder that keeps a step's unfinished work, so that a killed run goes on where it stopped.

        It belongs to these settings, the contents of these input files, and the code of the module `code` and nothing else:
        if any differs, what an earlier run left of the step is thrown away. `forget` ends it.
        """
        digest = hashlib.sha256(repr((step, settings, self.params.run, code and code_digest(code))).encode())
        for path in inputs:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        folder = self.root / "work" / step / digest.hexdigest()[:16]
        for stale in folder.parent.glob("*"):
            if stale != folder:
                shutil.rmtree(stale)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget(self, step: str) -> None:
        """Drop a step's unfinished work, once all that follows from it is written."""
        shutil.rmtree(self.root / "work" / step, ignore_errors=True)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: the working directory) that holds params.yaml and dvc.yaml.

    papermill runs a notebook from where it was called, JupyterLab from the notebook's folder: both end up here.
    Raises StudyError where there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise StudyError(f"{start}: no params.yaml and dvc.yaml here or above; work inside a clone of the study")


def open_study(changes: Mapping[str, Any] | None = None, root: Path | None = None) -> Study:
    """The study at `root` (default: the one around the working directory), `changes` laid over its params.yaml."""
    root = root or find_root()
    study = Study(root, load_params(root / "params.yaml", changes))
    fix_threads(study.params.run.threads)
    return study


def fix_threads(threads: int) -> None:
    """Fix the thread count of the numerical libraries: sums in another order differ in the last bit."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
