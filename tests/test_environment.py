"""One list of packages: environment.yml repeats it, constraints.txt pins it; and the set-up says what a machine lacks."""

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
DIRECT = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
MACHINES = [
    {"python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux", "platform_machine": "x86_64"},
    {"python_version": "3.13", "python_full_version": "3.13.1", "sys_platform": "linux", "platform_machine": "x86_64"},
    {"python_version": "3.12", "python_full_version": "3.12.3", "sys_platform": "darwin", "platform_machine": "arm64"},
]


def wanted(requirement: Requirement, machine: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(machine)


def test_environment_yml_repeats_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == (f"python{PROJECT['requires-python']}", "pip")
    options, listed = packages["pip"][:2], packages["pip"][2:]
    assert options == ["-c constraints.txt", "-e ."]
    assert sorted(listed) == sorted(DIRECT)
    assert len({str(Requirement(line)) for line in listed}) == len(listed)


@pytest.mark.parametrize("machine", MACHINES)
def test_constraints_pin_every_direct_dependency_once(machine):
    for line in DIRECT:
        direct = Requirement(line)
        if not wanted(direct, machine):
            continue
        name = canonicalize_name(direct.name)
        pins = [pin for pin in PINS if canonicalize_name(pin.name) == name and wanted(pin, machine)]
        assert len(pins) == 1, line
        (specifier,) = pins[0].specifier
        assert specifier.operator == "=="
        assert specifier.version in direct.specifier, line


def test_make_alone_lists_every_target():
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make itself may run this test
    listed = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    targets = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [line.split()[1] for line in listed.splitlines()] == targets


# A stand-in for python3 that answers the questions of tools/setup.sh: each answer an environment variable.
PYTHON = """#!/bin/sh
case "$*" in
    --version) echo Python 3.10.2 ;;
    *version_info*) exit ${TOO_OLD:-0} ;;
    *ensurepip*) exit ${NO_VENV:-0} ;;
    *CDLL*) printf '%s' "$MISSING" ;;
    *) echo "python $*" >> "$LOG"; mkdir -p .venv ;;
esac
"""
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >> "$LOG"\n'


@pytest.fixture
def machine(tmp_path):
    """A machine with these commands and answers; gives what the set-up printed to stderr, and the commands that it ran."""
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
        command = ["tools/setup.sh", "python3"]
        done = subprocess.run(
            ["tools/setup.sh", "python3"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (tmp_path / ".venv/set-up").exists()
        return done.stderr, log.read_text().splitlines()

    return run


def test_set_up_where_nothing_lacks(machine):
    message, ran = machine("python3", "apt-get")
    assert message == ""
    assert ran == [
        "python -c ",
        "python -m pip install --disable-pip-version-check -c constraints.txt -e .[dev]",
        "python -m ipykernel install --prefix .venv --name python3 --display-name bcdh",
    ]


@pytest.mark.parametrize(
    ("commands", "answers", "mend"),
    [
        ([], {}, "type: apt-get install python3 python3-venv"),
        (
            ["python3"],
            {"TOO_OLD": "1"},
            "3.10.2 is too old, the study needs 3.11 or newer; name one: make PYTHON=python3.11",
        ),
        (["python3"], {"NO_VENV": "1"}, "type: apt-get install python3-venv"),
        (
            ["python3"],
            {"MISSING": "libEGL.so.1 "},
            "libEGL.so.1 from the system; install what holds them (Debian: libegl1 libgl1)",
        ),
        (
            ["python3", "apt-get"],
            {"MISSING": "libX11.so.6 "},
            "type: sudo apt-get install -y --no-install-recommends",
        ),
    ],
)
def test_set_up_stops_with_one_line_that_mends(machine, commands, answers, mend):
    message, ran = machine(*commands, **answers)
    assert mend in message
    assert len(message.splitlines()) == 1
    assert ran == []


INSTALL = ["apt-get update -q", "apt-get install -y --no-install-recommends libegl1 libgl1"]


def test_set_up_installs_what_open3d_needs_where_it_may(machine):
    assert machine("python3", "apt-get", uid=0, MISSING="libEGL.so.1 ")[1][:2] == INSTALL


def test_set_up_installs_with_sudo_where_it_asks_no_password(machine):
    ran = machine("python3", "apt-get", "sudo", MISSING="libEGL.so.1 ")[1]
    assert [line for line in ran if line.startswith("apt-get")] == INSTALL


def test_ci_can_be_run():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert os.access(ROOT / "tools/setup.sh", os.X_OK)


@pytest.mark.parametrize(
    ("uid", "commands", "apt_works", "installs"),
    [
        (0, ["apt-get"], True, ["apt-get"]),
        (0, ["apt-get"], False, []),
        (1000, ["apt-get", "sudo"], True, ["sudo -n apt-get"]),
        (1000, [], True, []),
        (0, ["apt-get", "chromium"], True, []),
    ],
)
def test_ci_installs_a_browser_where_it_may_and_tests_anyway(tmp_path, uid, commands, apt_works, installs):
    path, log = tmp_path / "bin", tmp_path / "log"
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    path.mkdir()
    for command in ("bash", "sh", "dirname", "basename"):
        (path / command).symlink_to(shutil.which(command))
    scripts = dict.fromkeys(["make", *commands], RECORD) | {"id": f"#!/bin/sh\necho {uid}\n"}
    if not apt_works:
        scripts["apt-get"] = "#!/bin/sh\nexit 100\n"
    for name, text in scripts.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci/run"], env={"PATH": str(path), "LOG": str(log)}, capture_output=True, text=True, check=True
    )
    ran = [line for line in log.read_text().splitlines() if "update" not in line]
    assert ran == [f"{apt} install -y --no-install-recommends chromium fonts-dejavu-core" for apt in installs] + ["make test"]
    assert ("are skipped" in done.stderr) == (not installs and "chromium" not in commands)
