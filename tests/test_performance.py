"""The scripts that measure: each can be imported with the library as it is, and docs/performance.md names those there are."""

import importlib
import json
import re

import pytest

from bcdh_lib.study import find_root

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
