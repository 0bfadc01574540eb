"""What `make repro` costs, from a clone to the site: minutes, memory and disk, and the minutes of each notebook.

    python performance/repro.py FOLDER           # clones this repository's last commit into FOLDER, which must not exist

Writes reports/repro.json, from which `python -m bcdh_lib.report.fill` fills README.md and the notebooks. Memory is the largest
sum of what the processes hold, shared pages divided among them, looked at once a second.
"""

import argparse
import os
import re
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

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


def measure(command: list[str], folder: Path) -> tuple[float, int, list[tuple[float, str]]]:
    """Minutes and largest memory, bytes, of a command, and each line that it wrote with its minute. Raises CalledProcessError."""
    began, most, lines = time.monotonic(), 0, []

    def read(stream: TextIO) -> None:
        for line in stream:
            print(line, end="", flush=True)
            lines.append(((time.monotonic() - began) / 60, line.strip()))

    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        reader = threading.Thread(target=read, args=[running.stdout])
        reader.start()
        process = psutil.Process(running.pid)
        while running.poll() is None:
            most = max(most, held(process))
            time.sleep(1)
        reader.join()
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return (time.monotonic() - began) / 60, most, lines


def notebook_minutes(lines: list[tuple[float, str]]) -> dict[str, dict[str, float]]:
    """Minutes of each notebook from the lines of `make repro`: the first time, computing its step, and if the results are there.

    A step lasts until the next stage begins, a notebook until it names its page.
    """
    begun = [(minute, found[1]) for minute, line in lines if (found := re.match(r"Running stage '(\w+)'", line))]
    steps = {name: later - minute for (minute, name), (later, _) in pairwise(begun)}
    pages = {Path(line).stem: minute for minute, line in lines if line.startswith("reports/executed/")}
    again = {name: pages[name] - minute for minute, name in begun if name in pages}
    return {
        name: {"first": round(minutes + steps.get(name.partition("_")[2], 0), 1), "again": round(minutes, 1)}
        for name, minutes in again.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    subprocess.run(["git", "clone", "--quiet", find_root(), folder], check=True)
    set_up, *_ = measure(["make", ".venv/set-up"], folder)
    minutes, memory, lines = measure(["make", "repro"], folder)
    disk = int(subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, check=True).stdout.split()[0])
    figures = {"minutes": minutes, "set_up_minutes": set_up, "memory_gb": memory / 1e9, "disk_gb": disk / 1e9}
    costs: dict[str, Any] = {name: round(figure, 1) for name, figure in figures.items()}
    costs |= {"notebooks": notebook_minutes(lines), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[2]}
    write_json(find_root() / "reports/repro.json", costs)


if __name__ == "__main__":
    main()
