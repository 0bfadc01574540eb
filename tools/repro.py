"""`make repro`: what `dvc repro` does, with the notebooks executed two at a time; dvc alone runs one stage after another."""

import multiprocessing
import sys

import yaml
from dvc.cli import main

LAST = "site"


def repro(*targets: str) -> int:
    """Run the stages of these targets that are not up to date. Returns dvc's exit code."""
    return main(["--wait-for-lock", "repro", *targets])


def repro_alone(stage: str) -> int:
    """The same for one stage, whose inputs are there."""
    return repro("--single-item", stage)


def repro_all() -> int:
    """Run all that is not up to date: what computes, then the notebooks, then the site. Returns an exit code."""
    with open("dvc.yaml", encoding="utf-8") as file:
        stages = yaml.safe_load(file)["stages"]
    notebooks = [name for name, stage in stages.items() if "report.execute" in stage["cmd"]]
    code = repro(*(name for name in stages if name not in (*notebooks, LAST)))
    if not code:
        with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
            code = max(pool.map(repro_alone, notebooks, chunksize=1))
    code = code or repro_alone(LAST)
    if not code:
        print("the report: reports/site/index.html")
    return code


if __name__ == "__main__":
    try:
        sys.exit(repro_all())
    except KeyboardInterrupt:
        sys.exit(130)
