"""The pairs step: `python -m bcdh_lib.pairs`."""

from bcdh_lib.study import run

run("bcdh_lib.pairs.make", "make_pairs")
