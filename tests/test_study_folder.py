"""Where a study lives, and the folder of its unfinished work."""

import pytest

from bcdh_lib.study import Study, find_root


def test_the_root_is_found_from_any_folder_inside(tmp_path):
    (tmp_path / "notebooks/deep").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="work inside a clone of the study"):
        find_root(tmp_path / "notebooks")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    assert find_root(tmp_path / "notebooks/deep") == tmp_path


def test_unfinished_work_belongs_to_its_settings_and_inputs(params, tmp_path):
    study, table = Study(tmp_path, params), tmp_path / "table"
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("1")
    table.write_text("rows")
    first = study.unfinished("pairs", params.pairs, [table, tmp_path / "code"])
    (first / "half.done").touch()
    assert study.unfinished("pairs", params.pairs, [table, tmp_path / "code"]) == first
    assert (first / "half.done").is_file()
    study.unfinished("training", params.training, [table])
    assert first.is_dir()
    (tmp_path / "code/a.py").write_text("2")
    second = study.unfinished("pairs", params.pairs, [table, tmp_path / "code"])
    assert second != first
    assert not first.exists()
    study.forget("pairs")
    study.forget("pairs")
    assert not second.exists()
