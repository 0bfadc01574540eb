"""`python -m bcdh_lib.retrieval`: the codes and scores of every system on every benchmark."""

from bcdh_lib.study import run

run("bcdh_lib.retrieval.score", "score_all")
