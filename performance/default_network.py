"""How well the network that ships with the package retrieves on benchmarks of real photos.

    python performance/default_network.py STUDY BENCHMARK...

Writes reports/default_network.csv: benchmark, scoring, bits, queries, map. STUDY is a folder with a params.yaml whose
retrieval.own_benchmarks and data/benchmarks hold the benchmarks.
"""

import sys
from pathlib import Path

import pandas as pd

from bcdh_lib.core.files import write_bytes
from bcdh_lib.search.default_network.files import default_model
from bcdh_lib.search.evaluation import evaluate
from bcdh_lib.study import find_root, open_study

COLUMNS = ["benchmark", "scoring", "bits", "queries", "map"]

if __name__ == "__main__":
    study = open_study(root=Path(sys.argv[1]))
    table = pd.concat([evaluate(study, name, default_model()) for name in sys.argv[2:]])[COLUMNS]
    print(table.to_string(index=False))
    path = find_root(Path(__file__).parent) / "reports/default_network.csv"
    write_bytes(path, table[table["scoring"] == "asymmetric"].to_csv(index=False, float_format="%.4f").encode())
