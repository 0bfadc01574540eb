"""The reconstruction step: `python -m bcdh_lib.reconstruction`."""

from bcdh_lib.study import run

run("bcdh_lib.reconstruction.reconstruct", "reconstruct")
