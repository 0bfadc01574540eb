"""Where a study is, its settings with every fault named, which results on disk it accepts, and where changes are tried."""

import shutil
import subprocess
import sys

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import load_params
from bcdh_lib.report.inputs import write_inputs
from bcdh_lib.study import Study, computes, find_root, open_study, touched_steps

PATH = find_root() / "params.yaml"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"pairs": {"min_shard": 0.3}}, "pairs.min_shard"),
        ({"run": {"threads": "two"}}, "run.threads"),
        ({"run": {"threads": True}}, "run.threads"),
        ({"pairs": {"min_shared": 1.5}}, "pairs.min_shared"),
        ({"training": {"runs": [{"method": "dsh", "bits": 9}]}}, "training.runs.0.bits"),
        ({"training": {"runs": [{"method": "dsh", "bits": None}]}}, "training.runs.0: bits"),
        ({"training": {"float_baseline": {"margin": 0}}}, "training.float_baseline.margin"),
        ({"training": {"float_baseline": {"learning_rate": float("inf")}}}, "training.float_baseline.learning_rate"),
    ],
)
def test_a_fault_is_named(changes, key):
    with pytest.raises(StudyError, match=rf"{PATH}: {key}"):
        load_params(PATH, changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"photos": {"source": "camera"}}, "photos.source.*camera.*folder, rendered"),
        ({"pairs": {"source": "camera"}}, "pairs.source"),
        ({"network": {"backbone": "vgg17"}}, "network.backbone"),
        ({"losses": {"dsh": {"margin": 1}}}, "losses.dsh.margin"),
        ({"losses": {"dsh": {"quantization_weight": -1.0}}}, "losses.dsh.quantization_weight"),
        ({"losses": {"nothing": {}}}, "losses.nothing: unknown; known: binary_constrained"),
        ({"training": {"runs": [{"method": "hash", "bits": 8}]}}, "training.runs: hash has no settings"),
        ({"retrieval": {"benchmarks": ["roxford5k_soft"]}}, "retrieval.benchmarks: roxford5k_soft is unknown"),
        ({"retrieval": {"benchmarks": ["oxford5k"]}}, "oxford5k: is not there"),
        ({"retrieval": {"own_benchmarks": {"town": "map"}}}, "retrieval.own_benchmarks.town"),
        ({"retrieval": {"own_benchmarks": {"oxford5k": "holidays"}}}, "retrieval.own_benchmarks.oxford5k"),
        ({"retrieval": {"own_benchmarks": {"../town": "holidays"}}}, "retrieval.own_benchmarks.../town"),
    ],
)
def test_what_registries_know_is_checked_before_the_first_stage(changes, key, tmp_path):
    write_inputs(Study(tmp_path, load_params(PATH)))
    with pytest.raises(StudyError, match=key):
        write_inputs(Study(tmp_path, load_params(PATH, changes)))


AGAIN = """
import sys
from pathlib import Path
from bcdh_lib.params import load_params
from bcdh_lib.report.inputs import write_inputs
from bcdh_lib.study import Study
write_inputs(Study(Path(sys.argv[1]), load_params(Path("params.yaml"))))
assert not {"torch", "nbformat"} & set(sys.modules)
"""


def test_settings_that_were_checked_are_not_checked_again(tmp_path):
    """So that a `make repro` without work imports nothing that takes seconds."""
    write_inputs(Study(tmp_path, load_params(PATH)))
    subprocess.run([sys.executable, "-c", AGAIN, tmp_path], cwd=PATH.parent, check=True)


@pytest.mark.parametrize("content", [b"", b"- a", b"a: [", b"\xff\xfe\x00", b"run: {seed: 1}", b"run: 2020-99-99", b"[" * 10**5])
def test_a_broken_file_is_named(content, tmp_path):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(StudyError, match=r"params\.yaml: "):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(StudyError):
        load_params(tmp_path / "none.yaml")


def test_a_fault_is_a_line_whatever_the_file_holds(tmp_path):
    """Ten lists, each ten times the one before: written out, the value alone would fill the memory."""
    laughs = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11))]
    text = PATH.read_text().replace("seed: 7 ", "seed: *a10 ", 1)
    (tmp_path / "params.yaml").write_text("\n".join([*laughs, text, '"odd\\nkey": 1']))
    with pytest.raises(StudyError) as caught:
        load_params(tmp_path / "params.yaml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(tmp_path)) and len(line) < 500 for line in lines)


@pytest.fixture
def root(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(find_root() / name, tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/input.txt").write_text("rows")
    return tmp_path


@pytest.fixture
def make(root):
    """Runs a stand-in for the pairs step, under changes: how often it worked so far; KeyboardInterrupt if its input says so."""
    done = []

    @computes("pairs", lambda study: [study.root / "tables"])
    def work(study):
        if (study.root / "tables/input.txt").read_text() == "stop":
            raise KeyboardInterrupt
        for path in (study.pairs / "pairs.txt", study.reports_of("pairs") / "diagnostics.json"):
            write_bytes(path, str(study.params.pairs.min_shared).encode())
        done.append(study.pairs)

    def make(changes=None):
        work(open_study(changes, root))
        return len(done)

    return make


def test_the_root_is_found_from_any_folder_inside(tmp_path):
    (tmp_path / "notebooks/deep").mkdir(parents=True)
    with pytest.raises(StudyError):
        find_root(tmp_path / "notebooks")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    assert find_root(tmp_path / "notebooks/deep") == tmp_path


def test_a_step_computes_only_if_something_it_depends_on_changed(root, make):
    assert [make(), make()] == [1, 1]
    (root / "tables/input.txt").write_text("other rows")
    assert make() == 2
    (root / "data/pairs/pairs.txt").unlink()  # results that are gone are made again
    assert make() == 3
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("radius: 2", "radius: 3"))  # a setting of another step
    assert make() == 3
    (root / "params.yaml").write_text(text.replace("min_shared: 0.2", "min_shared: 0.3"))
    assert make() == 4
    (root / "tables/input.txt").write_text("stop")
    with pytest.raises(KeyboardInterrupt):  # a step that was killed computes again
        make()
    (root / "tables/input.txt").write_text("other rows")
    assert make() == 5


@pytest.mark.parametrize("other", [None, "of another commit", "0.200000"])
def test_reports_are_restored_without_computing(other, root, make):
    make()
    report = root / "reports/diagnostics.json"
    report.unlink() if other is None else report.write_text(other)
    assert (make(), report.read_text()) == (1, "0.2")


@pytest.mark.parametrize("stamp", ["", "{", "[]", "{}", '{"reports": {}}'])
def test_a_damaged_stamp_counts_as_none(stamp, root, make):
    make()
    open_study(root=root).stamp("pairs").write_text(stamp)
    assert make() == 2


def test_changes_are_tried_in_a_sandbox(root, make):
    with pytest.raises(StudyError):  # it builds on the study's own results
        make({"retrieval": {"radius": 5}})
    make()
    make({"pairs": {"min_shared": 0.5}})
    tried = open_study({"pairs": {"min_shared": 0.5}}, root)
    assert (root / "data/pairs/pairs.txt").read_text() == "0.2"
    assert (tried.pairs / "pairs.txt").read_text() == "0.5"
    assert tried.pairs.is_relative_to(root / "work/try")
    assert tried.photos == root / "data/photos"
    assert make({"retrieval": {"radius": 5}}) == 2  # does not touch pairs: the study's own results serve
    tried = open_study({"rendered": {"strays": 3}}, root)  # other photos have rendered benchmarks of their own
    assert tried.rendered_benchmarks.is_relative_to(root / "work/try")
    assert tried.benchmarks == root / "data/benchmarks"


def test_touched_steps_are_those_downstream(params):
    other = params.model_copy(update={"pairs": params.pairs.model_copy(update={"min_shared": 0.9})})
    assert touched_steps(params, other) == {"pairs", "training", "retrieval"}
    assert touched_steps(params, params) == frozenset()


def test_unfinished_work_belongs_to_its_settings_and_inputs(params, tmp_path):
    study, table = Study(tmp_path, params), tmp_path / "table"

    def unfinished(step="pairs"):
        return study.unfinished(step, params.pairs, [table], "bcdh_lib.core.errors")

    table.write_text("rows")
    first = unfinished()
    (first / "half.done").touch()
    assert unfinished() == first
    assert (first / "half.done").is_file()
    unfinished("training")
    assert first.is_dir()
    table.write_text("other rows")
    assert unfinished() != first
    assert not first.exists()
    study.forget("pairs")
    study.forget("pairs")
    assert not (tmp_path / "work/pairs").exists()
