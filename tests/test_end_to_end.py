"""The whole study, tiny: real rendering, COLMAP, papermill and DVC, from a bare copy of the repository to the site."""

import json
import os
import re
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

BENCHMARKS = {"benchmark_landmarks": 2, "photos_per_benchmark_landmark": 5, "distractors": 4, "holidays_groups": 4}
TINY = {
    "rendered": {"landmarks": 5, "photos_per_landmark": 9, "strays": 3} | BENCHMARKS,
    "reconstruction": {"words": 256, "neighbours": 8},
    "network": {"side": 96, "frozen_blocks": 16},
    "training": {
        "runs": [{"method": "binary_constrained", "bits": 64}, {"method": "dsh", "bits": 64}, {"method": "float", "bits": None}],
        "float_baseline": {"rounds": 1, "steps_per_round": 2, "tuples": 4, "views": 1},
        "hash_layer": {"rounds": 2, "steps_per_round": 4, "photos": 16, "places": 4},
        "end_to_end": {"rounds": 1, "steps_per_round": 2, "photos": 16, "places": 4},
    },
}
OVERVIEW = {"landmarks": 3, "photos_per_landmark": 8, "strays": 1}
COMPUTED = ["reconstruction", "pairs", "training", "retrieval"]


def run(study: Path, *command: str) -> str:
    """Run a Python command in a study's folder, its stages by this very Python; returns what it printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    all_of_it = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([sys.executable, *command], cwd=study, env=environment, **all_of_it)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def stages_run(said: str) -> set[str]:
    return set(re.findall(r"^Running stage '(\w+)'", said, re.MULTILINE))


def outputs_of(study: Path) -> dict[str, str]:
    """path -> content hash of everything the stages wrote, from dvc.lock."""
    stages = yaml.safe_load((study / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A copy of what the repository tracks, with tiny settings, reproduced once; each notebook runs what it says to try, too."""
    study, root = tmp_path_factory.mktemp("study") / "bcdh", find_root()
    files = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(files, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines():
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
        if path.stem == "00_overview":  # it is a study of its own
            (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
            cell.source = f"changes = {{'rendered': {settings['rendered'] | OVERVIEW}}}"
        nbformat.write(notebook, path)
    subprocess.run(["git", "init", "--quiet"], cwd=study, check=True)
    run(study, "tools/repro.py")  # what `make repro` calls
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
    assert json.loads((tiny / "reports/diagnostics.json").read_text())["similar_precision"] > 0.9


def test_a_second_call_runs_nothing(tiny):
    assert stages_run(run(tiny, "tools/repro.py")) == {"inputs"}
    assert not (tiny / "work/training").exists()


def test_an_edit_of_prose_or_of_a_figure_computes_nothing(tiny):
    notebook, style = tiny / "notebooks/06_comparison.ipynb", tiny / "bcdh_lib/report/figures/style.py"
    notebook.write_text(notebook.read_text().replace("# ", "# Edited: ", 1))
    assert stages_run(run(tiny, "-m", "dvc", "repro")) == {"inputs", "06_comparison", "site"}
    text = style.read_text()
    style.write_text(f"{text}\nUNUSED = 1\n")
    would_run = stages_run(run(tiny, "-m", "dvc", "repro", "--dry"))
    assert {"01_photos", "06_comparison", "site"} <= would_run
    assert not would_run & {"photos", *COMPUTED, "metrics"}
    style.write_text(text)


def test_computed_again_without_the_truth_everything_is_the_same(tiny):
    """Steps and a notebook give the same bytes twice. Only the diagnostics depend on the true landmarks, which are gone here."""
    before = outputs_of(tiny)
    truth = tiny / "data/truth/landmarks.parquet"
    truth.chmod(0o644)
    truth.unlink()
    for step in COMPUTED:
        (tiny / f"data/stamps/{step}.json").unlink()
    run(tiny, "-m", "dvc", "repro", "--force", "--single-item", *COMPUTED, "06_comparison")
    after = outputs_of(tiny)
    diagnosed = {"reports/diagnostics.json", "data/stamps/pairs.json"}
    assert {path for path in before if before[path] != after[path]} <= diagnosed
    assert json.loads((tiny / "reports/diagnostics.json").read_text()) == {}
