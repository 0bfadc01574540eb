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


def counted_step(done):
    """A stand-in for the pairs step, which notes where it worked."""

    @computes("pairs", lambda study: [study.root / "tables"])
    def make(study):
        study.pairs.mkdir(parents=True, exist_ok=True)
        (study.pairs / "pairs.txt").write_text(str(study.params.pairs.min_shared))
        done.append(study.pairs)

    return make


def test_the_root_is_found_from_any_folder_inside(tmp_path):
    (tmp_path / "notebooks/deep").mkdir(parents=True)
    with pytest.raises(StudyError):
        find_root(tmp_path / "notebooks")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    assert find_root(tmp_path / "notebooks/deep") == tmp_path


def test_a_step_computes_only_if_something_it_depends_on_changed(root):
    done = []
    make = counted_step(done)
    make(open_study(root=root))
    make(open_study(root=root))
    assert len(done) == 1
    (root / "tables/input.txt").write_text("other rows")
    make(open_study(root=root))
    assert len(done) == 2
    (root / "data/pairs/pairs.txt").unlink()  # results that are gone are made again
    make(open_study(root=root))
    assert len(done) == 3
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("radius: 2", "radius: 3"))  # a setting of another step
    make(open_study(root=root))
    assert len(done) == 3
    (root / "params.yaml").write_text(text.replace("min_shared: 0.2", "min_shared: 0.3"))
    make(open_study(root=root))
    assert len(done) == 4


def test_a_step_that_was_killed_computes_again(root):
    @computes("pairs", lambda study: [])
    def killed(study):
        raise KeyboardInterrupt

    done = []
    counted_step(done)(open_study(root=root))
    (root / "tables/input.txt").write_text("other rows")
    with pytest.raises(KeyboardInterrupt):
        killed(open_study(root=root))
    (root / "tables/input.txt").write_text("rows")
    counted_step(done)(open_study(root=root))
    assert len(done) == 2


def test_changes_are_tried_in_a_sandbox(root):
    done = []
    make = counted_step(done)
    make(open_study(root=root))
    tried = open_study({"pairs": {"min_shared": 0.5}}, root)
    make(tried)
    assert (root / "data/pairs/pairs.txt").read_text() == "0.2"
    assert (tried.pairs / "pairs.txt").read_text() == "0.5"
    assert tried.pairs.is_relative_to(root / "work/try")
    assert tried.photos == root / "data/photos"
    make(open_study({"retrieval": {"radius": 5}}, root))  # does not touch pairs: the study's own results serve
    assert len(done) == 2


def test_a_sandbox_needs_the_results_it_builds_on(root):
    with pytest.raises(StudyError):
        counted_step([])(open_study({"retrieval": {"radius": 5}}, root))


def test_touched_steps_are_those_downstream(params):
    other = params.model_copy(update={"pairs": params.pairs.model_copy(update={"min_shared": 0.9})})
    assert touched_steps(params, other) == {"pairs", "training", "retrieval"}
    assert touched_steps(params, params) == frozenset()


def test_unfinished_work_belongs_to_its_settings_and_inputs(params, tmp_path):
    study, table = Study(tmp_path, params), tmp_path / "table"
    table.write_text("rows")
    first = study.unfinished("pairs", params.pairs, [table])
    (first / "half.done").touch()
    assert study.unfinished("pairs", params.pairs, [table]) == first
    assert (first / "half.done").is_file()
    study.unfinished("training", params.training, [table])
    assert first.is_dir()
    table.write_text("other rows")
    assert study.unfinished("pairs", params.pairs, [table]) != first
    assert not first.exists()
    study.forget("pairs")
    study.forget("pairs")
    assert not (tmp_path / "work/pairs").exists()
