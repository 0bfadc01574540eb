"""The examples of docs/adding.md, run as they stand there; the figures of docs/scale.md and of docs/method.md."""

import importlib
import json
import re
import sys
from types import ModuleType

import pytest
import torch
import yaml
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval import benchmarks
from bcdh_lib.retrieval.benchmarks import read_benchmark, read_benchmarks
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.losses import LOSSES
from bcdh_lib.training.train import train_run


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (find_root() / "docs/adding.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Imports a block of code as the file that it is shown as."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(block: str, name: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def test_the_loss_trains(load, params, training_set, tmp_path, monkeypatch):
    loss = load(blocks("python")[0], "cosine_of_the_docs").Cosine
    monkeypatch.setitem(LOSSES, "cosine", loss)
    changed = open_study(yaml.safe_load(blocks("yaml")[0]), find_root()).params
    assert changed.training.runs[0].name == "cosine-64"
    settings = params.model_copy(update={"losses": changed.losses})
    history = train_run(training_set, settings, changed.training.runs[0], tmp_path)
    assert len(history) == 1 + params.training.rounds
    outputs = torch.tensor([[3.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    values = loss(2, loss.Settings(margin=0.5))(
        outputs, torch.tensor([[0, 1], [0, 1], [0, 2]]), torch.tensor([True, False, False])
    )
    assert values.tolist() == pytest.approx([1, 0, 0.5**0.5 - 0.5])


def test_the_benchmark_is_read(load, tmp_path, monkeypatch):
    monkeypatch.setitem(benchmarks.FORMS, "ukbench", load(blocks("python")[1], "ukbench_of_the_docs").FORM)
    settings = yaml.safe_load(blocks("yaml")[1])["retrieval"]
    study = open_study({"retrieval": settings | {"benchmarks": settings["benchmarks"][1:]}}, find_root())
    study = type(study)(tmp_path, study.params)
    folder = study.benchmarks / "ukbench/full"
    folder.mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (40, 30)).save(folder / f"ukbench{number:05d}.jpg")
    (benchmark,) = read_benchmarks(study)
    assert benchmark.positive().tolist() == [[True] * 4 + [False] * 4] * 4 + [[False] * 4 + [True] * 4] * 4
    (folder / "ukbench00007.jpg").unlink()
    with pytest.raises(StudyError, match="holds 7 photos, not groups of four"):
        read_benchmark(study, "ukbench")


def test_the_figures_of_scale_are_those_of_the_report():
    """Every row of the two tables of what was measured."""
    root = find_root()
    lines = (root / "docs/scale.md").read_text(encoding="utf-8").splitlines()
    report = json.loads((root / "reports/search.json").read_text(encoding="utf-8"))
    flat = report["flat"]
    wanted = [f"| flat | all | {flat['ours_qps']:,.1f} | 1 | {flat['peak_mb']:,} | {flat['own_mb']:,} |"]
    for method in ("ivf", "multihash"):
        for row in report[method]["search"]:
            figures = f"{row['qps']:,.1f} | {row['recall']:.3f} | {row['peak_mb']:,} | {row['own_mb']:,}"
            wanted.append(f"| {method} | {row['nprobe']} | {figures} |")
        made = report[method]
        (line,) = [line for line in lines if re.match(rf"\| {method} \| [\d,]+ (lists|parts)", line)]
        assert line.endswith(f"| {made['build_s']:.0f} | {made['bytes_a_code']:.1f} | {made['peak_mb']:,} |")
    assert [line for line in lines if re.match(r"\| (flat|ivf|multihash) \| (all|\d+) \|", line)] == wanted
    assert f"at {flat['ratio']:.2f} of its rate" in " ".join(lines)


def test_the_figures_of_pairs_are_those_of_the_report():
    root = find_root()
    text = (root / "docs/scale.md").read_text(encoding="utf-8")
    report = json.loads((root / "reports/pairs_scale.json").read_text(encoding="utf-8"))
    assert f"{report['observations']:,} observations gave {report['pairs']:,} pairs in {report['processor_s']} s" in text
    assert f"peak memory {report['peak_mb']:,} MB" in text
    for row in report["beside"]:
        assert f"| {row['points_a_photo']} | {row['ours_s']:.3f} | {row['plain_s']:.3f} | {row['ratio']} |" in text
        assert row["same_pairs"]


def test_the_figures_of_codes_as_candidates_are_those_of_the_report():
    root = find_root()
    lines = (root / "docs/method.md").read_text(encoding="utf-8").splitlines()
    report = json.loads((root / "reports/candidates_codes.json").read_text(encoding="utf-8"))
    wanted = []
    for row in report["piles"]["rendered"]["rows"]:
        models = [f"{row[key]:,}" if key in row else "not mapped" for key in ("registered", "models", "similar_pairs")]
        tried = (f"{row['pairs']:,}", f"{row['verified_pairs']:,}", str(row["joined"]))
        wanted.append("| " + " | ".join([row["way"].rpartition("/")[2], row["budget"], *tried, *models]) + " |")
    assert [line for line in lines if re.match(r"\| \S+ \| (\d+ neighbours|three rounds) \|", line)] == wanted
