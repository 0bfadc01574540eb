"""README and docs: links lead somewhere, the examples of docs/adding.md run, scripts and tables of results are named."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from bcdh_lib.study import find_root

ROOT = find_root()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


# Runs in a copy of the library that holds the examples' files; `settings` are the page's pieces of params.yaml.
CHECK = """
from contextlib import suppress
import numpy as np
import torch
import yaml
from PIL import Image
from bcdh_lib.core.errors import StudyError
from bcdh_lib.photos.sources import SOURCES, source_of
from bcdh_lib.retrieval.benchmarks import benchmark_names, read_benchmark
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import open_study
from bcdh_lib.training.backbones import BACKBONES
from bcdh_lib.training.losses import check_losses, make_loss

changes = {}
*pieces, photos = yaml.safe_load_all(open("settings.yaml"))
for settings in pieces:
    for section, values in settings.items():
        changes.setdefault(section, {}).update(values)
study = open_study(changes)

check_losses(study.params)
loss = make_loss("cosine", 2, {"learning_rate": 0.01, "margin": 0.5})
outputs = torch.tensor([[3.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
similar = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
assert torch.allclose(loss(outputs, similar)[0], torch.tensor([0, 1, 0.5**0.5 - 0.5]))

backbone = BACKBONES[study.params.network.backbone](False)
features = torch.nn.Sequential(*backbone.blocks)(torch.rand(1, 3, 64, 64))
assert features.shape[1] == backbone.channels

vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
encode = SHALLOW["random_signs"](vectors, 16, 1)
assert encode(vectors[:3]).shape == (3, 16)

folder = study.benchmarks / "ukbench/full"
folder.mkdir(parents=True)
for number in range(8):
    Image.new("RGB", (40, 30)).save(folder / f"ukbench{number:05d}.jpg")
assert "ukbench" in benchmark_names(study)
source_of(open_study(photos))
with suppress(StudyError):  # no card is there
    assert SOURCES["memory_card"](study).name == "DCIM"

positive = read_benchmark(study, "ukbench").positive()
assert positive.tolist() == [[True] * 4 + [False] * 4] * 4 + [[False] * 4 + [True] * 4] * 4
"""


def test_every_example_is_one_new_file(tmp_path):
    page = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "bcdh_lib", tmp_path / "bcdh_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for path, code in re.findall(r"^`(bcdh_lib/[\w/]+\.py)`.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE):
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(code, encoding="utf-8")
    (tmp_path / "settings.yaml").write_text("---\n".join(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", CHECK], cwd=tmp_path, env=environment, check=True)


SCRIPTS = sorted(path.stem for path in (find_root() / "performance").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_imported(name):
    assert importlib.import_module(name).__doc__


def test_the_page_names_scripts_that_exist():
    page = (find_root() / "docs/performance.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+)\.py \|", page, re.MULTILINE)) <= set(SCRIPTS)


def test_every_committed_table_has_a_command():
    """A stage of dvc.yaml, a script of performance, or the docs; the study's own are listed in tables.json."""
    root = find_root()
    files = [root / "dvc.yaml", *root.glob("performance/*.py"), *root.glob("docs/*.md")]
    commands = "".join(path.read_text(encoding="utf-8") for path in files)
    assert [path.name for path in (root / "reports").iterdir() if path.is_file() and path.name not in commands] == []
    listed = json.loads((root / "reports/study/tables.json").read_text(encoding="utf-8"))
    assert {path.name for path in (root / "reports/study").iterdir()} == {"tables.json", *listed}
