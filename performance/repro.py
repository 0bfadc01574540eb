"""What `make repro` costs, from a clone to the site: minutes, memory and disk.

    python performance/repro.py FOLDER           # clones this repository's last commit into FOLDER, which must not exist

Writes reports/repro.json, from which `python -m bcdh_lib.report.fill` fills README.md. Memory is the largest sum of what the
processes hold, shared pages divided among them, looked at once a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from pathlib import Path

import psutil

from bcdh_lib.core.files import write_json
from bcdh_lib.study import find_root


def held(process: psutil.Process) -> int:
    """Bytes that a process and its descendants hold."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:  # it has ended
            continue
    return total


def measure(command: list[str], folder: Path) -> tuple[float, int]:
    """Minutes and largest memory, bytes, of a command. Raises CalledProcessError if it fails."""
    began, most = time.monotonic(), 0
    with subprocess.Popen(command, cwd=folder) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            most = max(most, held(process))
            time.sleep(1)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return (time.monotonic() - began) / 60, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    subprocess.run(["git", "clone", "--quiet", find_root(), folder], check=True)
    set_up, _ = measure(["make", ".venv/set-up"], folder)
    minutes, memory = measure(["make", "repro"], folder)
    disk = int(subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, check=True).stdout.split()[0])
    figures = {"minutes": minutes, "set_up_minutes": set_up, "memory_gb": memory / 1e9, "disk_gb": disk / 1e9}
    costs = {name: round(figure, 1) for name, figure in figures.items()}
    write_json(find_root() / "reports/repro.json", {**costs, "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[2]})


if __name__ == "__main__":
    main()
