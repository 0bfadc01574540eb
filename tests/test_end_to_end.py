"""The whole study, tiny: real rendering, COLMAP, papermill and DVC, from a bare copy of the repository to the site."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell

from bcdh_lib.study import find_root

from .report.test_notebooks import tries

TINY = {
    "rendered": {
        "landmarks": 5,
        "photos_per_landmark": 9,
        "strays": 3,
        "benchmark_landmarks": 2,
        "photos_per_benchmark_landmark": 5,
        "distractors": 4,
        "holidays_groups": 4,
    },
    "reconstruction": {"words": 256, "neighbours": 8},
    "network": {"side": 96, "frozen_blocks": 16},
    "training": {
        "runs": [{"method": "binary_constrained", "bits": 64}, {"method": "dsh", "bits": 64}, {"method": "float", "bits": None}],
        "float_baseline": {"rounds": 1, "steps_per_round": 2, "tuples": 4, "views": 1},
        "hash_layer": {"rounds": 2, "steps_per_round": 4, "photos": 16, "places": 4},
    },
}
COMPUTED = ["reconstruction", "pairs", "training", "retrieval"]


def dvc(study: Path, *arguments: str) -> str:
    """Run dvc in a study's folder, its stages by this very Python; returns what it printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=study, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def outputs_of(study: Path) -> dict[str, str]:
    """path -> content hash of everything the stages wrote, from dvc.lock."""
    stages = yaml.safe_load((study / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A copy of what the repository tracks, with tiny settings, reproduced once; each notebook runs what it says to try, too."""
    study, root = tmp_path_factory.mktemp("study") / "bcdh", find_root()
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if name != "dvc.lock" and (root / name).is_file():
            (study / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, study / name)
    settings = yaml.safe_load((root / "params.yaml").read_text())
    for section, changes in TINY.items():
        for key, value in changes.items():
            settings[section][key] = settings[section][key] | value if isinstance(value, dict) else value
    (study / "params.yaml").write_text(yaml.safe_dump(settings))
    for path in (study / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells += [new_code_cell(source, id=f"try-{number}") for number, source in enumerate(tries(notebook))]
        nbformat.write(notebook, path)
    subprocess.run(["git", "init", "--quiet"], cwd=study, check=True)
    dvc(study, "repro")
    return study


def test_from_nothing_to_the_site(tiny):
    metrics = json.loads((tiny / "reports/metrics.json").read_text())
    assert metrics["counts"]["photos"] == 5 * 9 + 3
    assert metrics["counts"]["models"] >= 3
    assert metrics["counts"]["pairs"] > 10
    scored = {(score["benchmark"], score["method"]) for score in metrics["retrieval"]}
    benchmarks = ("rendered_oxford", "rendered_paris", "rendered_holidays")
    methods = ("binary_constrained", "dsh", "float", "pretrained")
    assert {(benchmark, method) for benchmark in benchmarks for method in methods} <= scored
    pages = {page.name for page in (tiny / "reports/site").glob("*.html")}
    assert {"index.html", "01_photos.html", "02_reconstruction.html", "06_comparison.html", "explorer.html"} <= pages
    precision = json.loads((tiny / "reports/diagnostics.json").read_text())
    assert precision["similar_precision"] > 0.9


def test_a_second_call_runs_nothing(tiny):
    said = dvc(tiny, "repro")
    ran = [line for line in said.splitlines() if line.startswith("Running stage")]
    assert ran == ["Running stage 'inputs':"]
    assert not (tiny / "work/training").exists()


def test_an_edit_of_prose_or_of_a_figure_computes_nothing(tiny):
    notebook, style = tiny / "notebooks/04_training.ipynb", tiny / "bcdh_lib/report/figures/style.py"
    before = [path.read_text() for path in (notebook, style)]
    notebook.write_text(before[0].replace("# ", "# Edited: ", 1))
    style.write_text(before[1] + "\nUNUSED = 1\n")
    said = dvc(tiny, "repro")
    ran = {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}
    assert {"04_training", "site"} <= ran
    assert not ran & {"photos", *COMPUTED}
    for path, text in zip((notebook, style), before, strict=True):
        path.write_text(text)
    dvc(tiny, "repro")


def test_computed_again_without_the_truth_everything_is_the_same(tiny):
    """The same bytes twice, and nothing but the diagnostics depends on the true landmarks: here they are gone."""
    before = outputs_of(tiny)
    truth = tiny / "data/truth/landmarks.parquet"
    truth.chmod(0o644)
    truth.unlink()
    for step in COMPUTED:
        (tiny / f"data/stamps/{step}.json").unlink()
    dvc(tiny, "repro", "--force", "--single-item", *COMPUTED)
    after = outputs_of(tiny)
    diagnosed = {"reports/diagnostics.json", "data/stamps/pairs.json"}
    assert {path for path in before if before[path] != after[path]} <= diagnosed
    assert json.loads((tiny / "reports/diagnostics.json").read_text()) == {}
