"""Where a study lives, and whether a step's results on disk belong to its settings, inputs and code."""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import StudyError, exit_code
from bcdh_lib.core.files import read_json, write_bytes
from bcdh_lib.params import Params, load_params


@dataclass(frozen=True)
class Step:
    """A step of the pipeline: the settings that decide its results, the steps it reads, and what it writes below the root."""

    settings: tuple[str, ...]  # sections or dotted keys of params.yaml
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    reports: tuple[str, ...] = ()  # small texts in reports/, which git keeps


STEPS = {
    "photos": Step(("run", "photos", "rendered"), (), ("data/photos", "data/pool", "data/truth", "data/benchmarks/rendered_*")),
    "reconstruction": Step(("run", "reconstruction"), ("photos",), ("data/reconstruction",)),
    "pairs": Step(("run", "pairs"), ("photos", "reconstruction"), ("data/pairs",), ("diagnostics.json",)),
    "training": Step(
        ("run", "network", "training", "losses"), ("photos", "pairs"), ("data/checkpoints",), reports=("history.csv",)
    ),
    "retrieval": Step(
        ("run", "network", "training.runs", "retrieval"),
        reads=("photos", "pairs", "training"),
        writes=("data/codes", "reports/queries.parquet"),
        reports=("curves.csv", "map.csv", "scores.json"),
    ),
}
"""The steps in their order. A new file that a step writes is added here, and then to its stage in dvc.yaml."""


@dataclass(frozen=True)
class Place:
    """An attribute of a study: the path of something that a step writes."""

    step: str
    path: str

    def __get__(self, study: "Study", kind: type | None = None) -> Path:
        return study.base(self.step) / self.path


@dataclass(frozen=True)
class Study:
    """A folder with a params.yaml, and the settings read from it. Every file of the study is named here.

    A study opened with changes works in `sandbox` (work/try/DIGEST): steps that the changes touch read and write there, the
    others read the study's own results. So a try never overwrites them.
    """

    root: Path
    params: Params
    sandbox: Path | None = None
    touched: frozenset[str] = frozenset()

    photos = Place("photos", "data/photos")  # photos.parquet, left_out.parquet and images/, decoded once
    rendered_pool = Place("photos", "data/pool")  # the collection that the study renders for itself, under opaque names
    rendered_benchmarks = Place("photos", "data/benchmarks")  # the rendered_* in it
    truth = Place("photos", "data/truth/landmarks.parquet")  # of rendered photos; only pairs/diagnostics.py may read it
    reconstruction = Place("reconstruction", "data/reconstruction")  # models/N/ in COLMAP's own format, and their tables
    pairs = Place("pairs", "data/pairs")
    checkpoints = Place("training", "data/checkpoints")
    codes = Place("retrieval", "data/codes")

    def base(self, step: str) -> Path:
        """The folder whose data/ and reports/ hold the results of a step."""
        return self.sandbox if self.sandbox and step in self.touched else self.root

    @property
    def benchmarks(self) -> Path:
        """Published benchmarks and the user's own, a folder each; a sandbox uses the study's."""
        return self.root / "data/benchmarks"

    def checkpoint(self, run: str) -> Path:
        """The best network of a training run; its facts lie next to it as .json."""
        return self.checkpoints / f"{run}.safetensors"

    @property
    def reports(self) -> Path:
        """Where tables and figures of this study are written."""
        return (self.sandbox or self.root) / "reports"

    def reports_of(self, step: str) -> Path:
        """Folder of the tables that a step writes to reports/: in the sandbox only if the changes touch the step."""
        return self.base(step) / "reports"

    @property
    def work(self) -> Path:
        """Unfinished work, which nothing but its own step reads."""
        return (self.sandbox or self.root) / "work"

    def image(self, photo_id: int) -> Path:
        """The decoded, upright copy of a photo."""
        return self.photos / "images" / f"{photo_id:07d}.jpg"

    def unfinished(self, step: str, settings: Any, inputs: Iterable[Path], module: str) -> Path:
        """The folder of a step's unfinished work, so that a killed run continues where it stopped.

        It belongs to these settings, the contents of these files, and the code of the module: if any differs, the unfinished
        work of an earlier run is deleted. `forget` ends it.
        """
        origin = repr((step, self.params.run, self.origin(settings, inputs, module)))
        folder = self.work / step / hashlib.sha256(origin.encode()).hexdigest()[:16]
        for stale in folder.parent.glob("*"):
            if stale != folder:
                shutil.rmtree(stale)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget(self, step: str) -> None:
        """Delete a step's unfinished work, once all its results are written."""
        shutil.rmtree(self.work / step, ignore_errors=True)

    def origin(self, settings: Any, inputs: Iterable[Path], module: str) -> dict[str, Any]:
        """What a result is made with: settings, digest of the module's code, digests of the inputs by name."""
        digests = {_name(path, self.root): _digest(path) for path in inputs}
        return {"settings": settings, "code": code_digest(module), "inputs": digests}

    def stamp(self, step: str) -> Path:
        """The file that says what a step's results on disk were made with."""
        return self.base(step) / f"data/stamps/{step}.json"


Compute = Callable[[Study], None]


def computes(step: str, inputs: Callable[[Study], Iterable[Path]]) -> Callable[[Compute], Compute]:
    """Decorator of a step's function: it returns at once if the results on disk belong to its settings, inputs and code.

    inputs: the files (or folders) that the step reads. `python -m bcdh_lib.STEP` and the step's notebook call the same function;
    whichever comes first computes. A sandbox computes into its own folder. The stamp holds the step's reports too: one that is
    missing or of another commit is written again.
    """

    def decorate(work: Compute) -> Compute:
        @functools.wraps(work)
        def compute(study: Study) -> None:
            base, stamp = study.base(step), study.stamp(step)
            found: dict[str, Any] = {}
            with contextlib.suppress(StudyError):  # no stamp, or a damaged one
                found = read_json(stamp)
            if study.sandbox and step not in study.touched:
                if not found:
                    raise StudyError(f"{stamp.parent}: the study has no results of {step} yet; make them with: dvc repro {step}")
                return
            origin = study.origin(_settings_of(study.params, step), inputs(study), work.__module__)
            reports = [base / "reports" / name for name in STEPS[step].reports]
            texts = found.pop("reports", [])
            if found == origin | {"outs": _outs(base, step)} and len(texts) == len(reports):
                for path, text in zip(reports, texts, strict=True):
                    if not path.is_file() or path.read_bytes() != text.encode():
                        write_bytes(path, text.encode())
                return
            stamp.unlink(missing_ok=True)
            work(study)
            made = origin | {"outs": _outs(base, step), "reports": [path.read_bytes().decode() for path in reports]}
            write_bytes(stamp, (json.dumps(made, indent=1, sort_keys=True) + "\n").encode())
            study.forget(step)

        return compute

    return decorate


def _settings_of(params: Params, step: str) -> dict[str, Any]:
    """The settings that decide a step's results, by dotted key."""
    values = params.model_dump(mode="json")
    return {key: functools.reduce(lambda value, part: value[part], key.split("."), values) for key in STEPS[step].settings}


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, the digest of its files: photos by name and size, everything else by content."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{_name(file, path)}\0{file.stat().st_size}\0".encode())
        if file.suffix.lower() not in (".jpg", ".jpeg"):
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


def _outs(base: Path, step: str) -> dict[str, int]:
    """Every file that a step wrote, and its size in bytes."""
    files = (file for out in STEPS[step].writes for path in base.glob(out) for file in (path, *path.rglob("*")))
    return {_name(file, base): file.stat().st_size for file in sorted(files) if file.is_file()}


def _name(path: Path, base: Path) -> str:
    return os.fspath(path.relative_to(base)) if path.is_relative_to(base) else os.fspath(path)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder with params.yaml and dvc.yaml, at or above `start` (the working directory). Raises StudyError."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise StudyError(f"{start}: no params.yaml and dvc.yaml here or above; work inside a clone of the study")


def open_study(changes: Mapping[str, Any] | None = None, root: Path | None = None) -> Study:
    """The study at `root` (default: the one around the working directory), with `changes` laid over its params.yaml.

    Call it before numpy or torch is imported: it fixes their number of threads, since sums in another order differ in the last
    bit. Raises StudyError.
    """
    root = root or find_root()
    params = load_params(root / "params.yaml")
    study = Study(root, params)
    if changes:
        changed = load_params(root / "params.yaml", changes)
        digest = hashlib.sha256(json.dumps(changed.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]
        study = Study(root, changed, root / "work/try" / digest, touched_steps(params, changed))
    fix_threads(study.params.run.threads)
    return study


def fix_threads(threads: int) -> None:
    """Fix the number of threads of the numerical libraries that are not loaded yet; idle ones leave the processor to others."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def touched_steps(params: Params, changed: Params) -> frozenset[str]:
    """The steps whose results other settings change: those that read such a setting, and those that read their results."""
    touched: frozenset[str] = frozenset()
    for name, step in STEPS.items():
        if touched.intersection(step.reads) or _settings_of(params, name) != _settings_of(changed, name):
            touched |= {name}
    return touched


def run(module: str, function: str) -> None:
    """The body of `python -m bcdh_lib.STEP`: call `function` of `module` with the study around the working directory.

    The module is imported after the study is opened: the numerical libraries read their number of threads when they start.
    """

    def step() -> None:
        study = open_study()
        getattr(importlib.import_module(module), function)(study)

    if code := exit_code(step, "stopped; the same command continues from there"):
        sys.exit(code)
