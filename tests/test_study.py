"""Where a study is, which results on disk it accepts, and where changes are tried."""

import shutil

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import Study, computes, find_root, open_study, touched_steps


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
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(study.params.pairs.min_shared))
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


def test_a_sandbox_needs_the_results_it_builds_on(make):
    with pytest.raises(StudyError):
        make({"retrieval": {"radius": 5}})


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
