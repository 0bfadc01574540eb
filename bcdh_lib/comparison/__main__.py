"""`make study`: the command of every committed table in reports/study."""

import argparse
import importlib
import sys
from pathlib import Path

from bcdh_lib.core.errors import exit_code
from bcdh_lib.study import find_root, open_study


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, 1 after a StudyError, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bcdh_lib.comparison", description="Run the study over seeds, or continue it, and write its tables."
    )
    parser.add_argument(
        "--root", type=Path, help="folder with the params.yaml, study.yaml and data to work with; default: this study"
    )
    parser.add_argument("--prefix", default="", help="what the tables' names begin with, for another study than the default one")
    options = parser.parse_args(arguments)

    def compare() -> None:
        here = find_root()
        root = (options.root or here).resolve()
        open_study(root=root)  # fixes the number of threads, before numpy and torch start
        importlib.import_module("bcdh_lib.comparison.compare").compare(root, here / "reports/study", options.prefix)

    return exit_code(compare, "stopped; the same command continues from where it was")


if __name__ == "__main__":
    sys.exit(main())
