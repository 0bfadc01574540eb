"""What the repository declares: imports run one way, stages name code, settings and files, packages are pinned; its set-up."""

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bcdh_lib.core.code import LIBRARY, imports_of, modules_of
from bcdh_lib.study import STEPS

ORDER = "core params study photos reconstruction pairs training retrieval search comparison report cli".split()  # noqa: SIM905
FILES = [path.relative_to(LIBRARY.parent).with_suffix("") for path in sorted(LIBRARY.rglob("*.py"))]
MODULES = [".".join(file.parts).removesuffix(".__init__") for file in FILES]


def part_of(module: str) -> str:
    """The folder or file at the top of the library that a module belongs to; empty for the library itself."""
    return [*module.split("."), ""][1]


def test_imports_run_one_way():
    wrong = [
        f"{module} imports {imported}"
        for module in MODULES
        for imported in imports_of(module)
        if part_of(module) and part_of(imported) and ORDER.index(part_of(imported)) > ORDER.index(part_of(module))
    ]
    assert wrong == []


def test_search_and_comparison_do_not_know_each_other():
    assert not [m for m in MODULES if part_of(m) == "comparison" and any(part_of(i) == "search" for i in imports_of(m))]


def test_no_modules_import_each_other():
    """Every module comes after all that it imports in some order: peel off modules without imports until none is left."""
    needs = {module: {i for i in imports_of(module) if not module.startswith(f"{i}.")} - {module} for module in MODULES}
    while ready := {module for module, imported in needs.items() if not imported}:
        needs = {module: imported - ready for module, imported in needs.items() if module not in ready}
    assert needs == {}


def test_the_top_of_the_library_is_the_pipeline():
    top = [path for path in LIBRARY.iterdir() if path.name != "__pycache__" and not path.name.startswith(".")]
    assert len([path for path in top if path.suffix == ".py" and path.stem != "__init__"]) <= 4
    assert len([path for path in top if path.is_dir()]) <= 9


def test_there_is_one_base_error():
    files = [path.name for path in LIBRARY.rglob("*.py") if "Error(Exception)" in path.read_text(encoding="utf-8")]
    assert files == ["errors.py"]


ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHECKED = [name for name, stage in STAGES.items() if not stage.get("always_changed")]


def code_of(stage: str) -> set[Path]:
    """The files of bcdh_lib that a stage's command imports, and those of the notebook that it executes."""
    _, _, module, *arguments = STAGES[stage]["cmd"].split()
    source = f"import {module}"
    if module == "bcdh_lib.report.execute":
        notebook = nbformat.read(ROOT / f"notebooks/{arguments[0]}.ipynb", as_version=nbformat.NO_CONVERT)
        source += "".join(f"\n{cell.source}" for cell in notebook.cells if cell.cell_type == "code")
    elif (main := ROOT / module.replace(".", "/") / "__main__.py").is_file():
        source += "\nimport ".join(["", *re.findall(r"bcdh_lib[\w.]+", main.read_text())])
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = modules_of(*imported)
    places = [ROOT / module.replace(".", "/") for module in modules]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


@pytest.mark.parametrize("stage", CHECKED)
def test_every_stage_names_the_code_it_runs(stage: str) -> None:
    named = [ROOT / dependency for dependency in STAGES[stage]["deps"]]
    top = {ROOT / f"bcdh_lib/{name}/__init__.py" for name in (".", "report")}
    missing = [file for file in code_of(stage) - top if not any(file.is_relative_to(path) for path in named)]
    assert [str(file.relative_to(ROOT)) for file in sorted(missing)] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_compute_stage_has_the_settings_and_files_of_its_step(step: str) -> None:
    assert STAGES[step]["params"] == list(STEPS[step].settings)
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[step].get(kind, [])]
    outs = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
    assert f"data/stamps/{step}.json" in outs
    patterns = [*STEPS[step].writes, *(f"reports/{name}" for name in STEPS[step].reports)]
    for pattern in patterns:
        assert any(Path(out).match(pattern) for out in outs), pattern
    assert all(any(Path(out).match(pattern) for pattern in (*patterns, "data/stamps/*")) for out in outs)


def test_every_notebook_has_a_stage_that_depends_on_its_stripped_copy() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"work/stripped/{path.name}" in STAGES[path.stem]["deps"]
        assert f"notebooks/{path.name}" not in STAGES[path.stem]["deps"]


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
MACHINES = [
    {"python_version": version, "python_full_version": f"{version}.3", "sys_platform": system, "platform_machine": machine}
    for version, system, machine in (("3.11", "linux", "x86_64"), ("3.13", "linux", "x86_64"), ("3.12", "darwin", "arm64"))
]


def applies(requirement: Requirement, machine: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(machine)


@pytest.mark.parametrize("machine", MACHINES)
def test_constraints_pin_every_direct_dependency_once(machine):
    for line in DIRECT:
        direct = Requirement(line)
        if not applies(direct, machine):
            continue
        name = canonicalize_name(direct.name)
        pins = [pin for pin in PINS if canonicalize_name(pin.name) == name and applies(pin, machine)]
        assert len(pins) == 1, line
        (specifier,) = pins[0].specifier
        assert specifier.operator == "=="
        assert specifier.version in direct.specifier, line


def test_metadata_files_can_be_read():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert yaml.safe_load((ROOT / "environment.yml").read_text())["name"] == PROJECT["name"]


def test_make_alone_lists_every_target():
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make itself may run this test
    listed = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    targets = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [line.split()[1] for line in listed.splitlines()] == targets


# A stand-in for python3 that answers the questions of tools/setup.sh: each answer is an environment variable.
PYTHON = """#!/bin/sh
case "$*" in
    --version) echo Python 3.10.2 ;;
    *version_info*) exit ${TOO_OLD:-0} ;;
    *ensurepip*) exit ${NO_VENV:-0} ;;
    *libc_ver*) echo "$OLD_GLIBC" ;;
    *CDLL*) printf '%s' "$MISSING" ;;
    *) mkdir -p .venv ;;
esac
"""


@pytest.mark.parametrize(
    ("commands", "answers", "fix"),
    [
        ([], {}, "apt-get install python3 python3-venv"),
        (["python3"], {"TOO_OLD": "1"}, "make PYTHON="),
        (["python3"], {"NO_VENV": "1"}, "apt-get install python3-venv"),
        (["python3"], {"OLD_GLIBC": "2.31"}, "glibc 2.35"),
        (["python3"], {"MISSING": "libEGL.so.1 "}, "libegl1 libgl1"),
        (["python3", "apt-get"], {"MISSING": "libX11.so.6 "}, "sudo apt-get install"),
        (["python3"], {}, ""),
    ],
)
def test_set_up_stops_with_one_line_that_names_the_fix(tmp_path, commands, answers, fix):
    """On a machine with no other commands than these."""
    for folder in ("tools", "bin", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", tmp_path / "tools")
    for command in ("bash", "sh", "dirname", "mkdir", "touch"):
        (tmp_path / "bin" / command).symlink_to(shutil.which(command))
    scripts = {"python3": PYTHON, "python": PYTHON, "id": "#!/bin/sh\necho 1000\n", "apt-get": "#!/bin/sh\n"}
    for name in [*(f"bin/{command}" for command in commands), "bin/id", ".venv/bin/python"]:
        (tmp_path / name).write_text(scripts[Path(name).name])
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": str(tmp_path / "bin"), **answers}
    done = subprocess.run(["tools/setup.sh", "python3"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == (tmp_path / ".venv/set-up").exists() == (not fix)
    assert fix in done.stderr
    assert len(done.stderr.splitlines()) == bool(fix)
