#!/usr/bin/env bash
# Make .venv with all that the study needs, its versions pinned by constraints.txt; called by make, with the Python to use.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1

stop() {
    echo "set-up: $1" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    stop "there is no $python; on Debian type: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old, the study needs 3.11 or newer; name one: make PYTHON=python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$python cannot make virtual environments; on Debian type: apt-get install python3-venv"

# open3d's wheel leaves these to the system. Whether they are there is asked of the loader, not of a package manager.
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
        stop "open3d needs ${missing}from the system; install what holds them (Debian: libegl1 libgl1), then make again"
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
mkdir -p .venv/home  # of the files that Jupyter, IPython and matplotlib would keep in the user's (see Makefile)
.venv/bin/python -m ipykernel install --prefix .venv --name python3 --display-name bcdh
touch .venv/set-up
