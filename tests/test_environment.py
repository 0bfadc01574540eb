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
    *) echo "python $*" >> "$LOG"; mkdir -p .venv ;;
esac
"""
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >> "$LOG"\n'


@pytest.fixture
def machine(tmp_path):
    """A machine with these commands and answers; returns what the set-up printed to stderr and the commands that it ran."""
    (tmp_path / "tools").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", tmp_path / "tools")

    def run(*commands: str, uid: int = 1000, **answers: str) -> tuple[str, list[str]]:
        scripts = {"python3": PYTHON, "apt-get": RECORD, "id": f"#!/bin/sh\necho {uid}\n"}
        scripts["sudo"] = f'#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\n"$@" || exit\n{RECORD.splitlines()[1]}\n'
        path = tmp_path / "bin"
        path.mkdir()
        for command in ("bash", "sh", "dirname", "basename", "mkdir", "touch", "true"):
            (path / command).symlink_to(shutil.which(command))
        for file, text in [(path / name, scripts[name]) for name in (*commands, "id")] + [
            (tmp_path / ".venv/bin/python", PYTHON)
        ]:
            file.write_text(text)
            file.chmod(0o755)
        log = tmp_path / "log"
        log.touch()
        environment = {"PATH": str(path), "LOG": str(log), **answers}
        done = subprocess.run(
            ["tools/setup.sh", "python3"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (tmp_path / ".venv/set-up").exists()
        return done.stderr, log.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("commands", "answers", "fix"),
    [
        ([], {}, "apt-get install python3 python3-venv"),
        (["python3"], {"TOO_OLD": "1"}, "make PYTHON="),
        (["python3"], {"NO_VENV": "1"}, "apt-get install python3-venv"),
        (["python3"], {"OLD_GLIBC": "2.31"}, "glibc 2.35"),
        (["python3"], {"MISSING": "libEGL.so.1 "}, "libegl1 libgl1"),
        (["python3", "apt-get"], {"MISSING": "libX11.so.6 "}, "sudo apt-get install"),
    ],
)
def test_set_up_stops_with_one_line_that_names_the_fix(machine, commands, answers, fix):
    message, ran = machine(*commands, **answers)
    assert fix in message
    assert len(message.splitlines()) == 1
    assert ran == []


@pytest.mark.parametrize(("commands", "uid"), [(["python3", "apt-get"], 0), (["python3", "apt-get", "sudo"], 1000)])
def test_set_up_installs_what_open_3d_needs_if_it_may(machine, commands, uid):
    message, ran = machine(*commands, uid=uid, MISSING="libEGL.so.1 ")
    assert message == ""
    installed = [line for line in ran if line.startswith("apt-get")]
    assert installed == ["apt-get update -q", "apt-get install -y --no-install-recommends libegl1 libgl1"]
    assert any("pip install" in line and "-c constraints.txt" in line for line in ran)


@pytest.mark.parametrize(("commands", "apt_works"), [(["apt-get"], True), (["apt-get"], False), ([], True), (["chromium"], True)])
def test_ci_runs_the_tests_with_a_browser_or_without(tmp_path, commands, apt_works):
    path, log = tmp_path / "bin", tmp_path / "log"
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    path.mkdir()
    for command in ("bash", "sh", "dirname", "basename"):
        (path / command).symlink_to(shutil.which(command))
    scripts = dict.fromkeys(["make", *commands], RECORD) | {"id": "#!/bin/sh\necho 0\n"}
    if not apt_works:
        scripts["apt-get"] = "#!/bin/sh\nexit 100\n"
    for name, text in scripts.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci/run"], env={"PATH": str(path), "LOG": str(log)}, capture_output=True, text=True, check=True
    )
    ran = log.read_text().splitlines()
    assert ran[-1] == "make test"
    installs = any("chromium" in line for line in ran)
    assert installs == (commands == ["apt-get"] and apt_works)
    assert ("skipped" in done.stderr) == (not installs and "chromium" not in commands)
