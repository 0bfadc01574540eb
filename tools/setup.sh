#!/usr/bin/env bash
# Makes .venv with everything that the study needs, in the versions of constraints.txt. Called by make with the Python to use.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1

stop() {
    echo "set-up: $1" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    stop "there is no $python; on Debian: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old, the study needs 3.11 or newer; name another: make PYTHON=python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$python cannot make virtual environments; on Debian: apt-get install python3-venv"
old=$("$python" -c '
import platform
name, version = platform.libc_ver()
print(version if name == "glibc" and tuple(map(int, version.split(".")[:2])) < (2, 35) else "")
')
[ -z "$old" ] ||
    stop "open3d needs glibc 2.35 or newer, this system has $old; use Debian 12, Ubuntu 22.04, RHEL 10 or newer"

# open3d's wheel does not bring these. The loader is asked whether they are there, not a package manager.
missing=$("$python" -c '
import ctypes, sys
for library in ("libEGL.so.1", "libGL.so.1", "libX11.so.6") if sys.platform == "linux" else ():
    try:
        ctypes.CDLL(library)
    except OSError:
        print(library, end=" ")
')
if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends libegl1 libgl1"
    if ! command -v apt-get >/dev/null; then
        stop "open3d needs ${missing}from the system; install the packages that hold them (Debian: libegl1 libgl1)"
    elif [ "$(id -u)" = 0 ]; then
        apt-get update -q && $install
    elif sudo -n true 2>/dev/null; then
        sudo -n apt-get update -q && sudo -n $install
    else
        stop "open3d needs ${missing}from the system; type: sudo $install"
    fi
fi

.venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
.venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
mkdir -p .venv/home  # for what Jupyter, IPython and matplotlib would write to the user's home (see Makefile)
.venv/bin/python -m ipykernel install --prefix .venv --name python3 --display-name "Python 3"

# Git sees notebooks without outputs (.gitattributes), whatever is open in JupyterLab.
if command -v git >/dev/null && git rev-parse --git-dir >/dev/null 2>&1; then
    git config filter.notebooks.clean "'$PWD/.venv/bin/python' -m nbstripout --keep-id --extra-keys \
'metadata.papermill cell.metadata.papermill metadata.language_info'"
fi
touch .venv/set-up
