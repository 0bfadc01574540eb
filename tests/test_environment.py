"""Packages are pinned for every kind of machine; the set-up stops with one line that says what a machine lacks."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
MACHINES = [
    {"python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux", "platform_machine": "x86_64"},
    {"python_version": "3.13", "python_full_version": "3.13.1", "sys_platform": "linux", "platform_machine": "x86_64"},
    {"python_version": "3.12", "python_full_version": "3.12.3", "sys_platform": "darwin", "platform_machine": "arm64"},
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
