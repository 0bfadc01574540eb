"""The options of retrieval that are on, each scored by itself and all together, apart from the plain figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.metrics import ties_of_distances
from bcdh_lib.params import Options
from bcdh_lib.retrieval.benchmarks import Benchmark
from bcdh_lib.retrieval.expansion import expanded_distances
from bcdh_lib.retrieval.scales import folder_of
from bcdh_lib.retrieval.score import Coded, System, load_codes, query_rows, read_benchmarks, summarise, systems, table_of
from bcdh_lib.study import Study

TOGETHER = "together"
COLUMNS = ["benchmark", "method", "bits", "option", "map", "map_best", "map_worst", "map_rectangle"]
COLUMNS += ["p_at_1", "p_at_5", "p_at_10", "recall_in_radius", "queries", "empty"]


def alone_and_together(options: Options) -> dict[str, Options]:
    """The options that are on, each alone by its name; where they are several, also all of them together."""
    off = Options()
    on = {name: getattr(options, name) for name in Options.model_fields if getattr(options, name) != getattr(off, name)}
    alone = {name: Options(**{name: value}) for name, value in on.items()}
    return alone | {TOGETHER: Options(**on)} if len(on) > 1 else alone


def option_summary(
    study: Study, benchmark: Benchmark, system: System, coded: Mapping[str, Coded], options: Options
) -> pd.DataFrame:
    """retrieval.summarise of a system with each option that is on, named in the column `option`, and with all together.

    coded: by the folder that the codes lie in. What an option does not use is not looked up.
    """
    own, positive, junk = benchmark.ignored_rows(), benchmark.positive(), benchmark.junk()
    tables = []
    for name, chosen in alone_and_together(options).items():
        queries, database = coded[folder_of(chosen.scales)]
        found = expanded_distances(queries, database, own, chosen.query_expansion, chosen.database_augmentation)
        rows = query_rows(study, benchmark, system, ties_of_distances(found, positive, junk))
        if chosen.query_expansion:
            rows["recall_in_radius"] = np.nan  # an expanded query lies no whole number of bits from a code
        tables.append(summarise(rows).assign(option=name)[COLUMNS])
    return pd.concat(tables, ignore_index=True)


def score_options(study: Study) -> pd.DataFrame:
    """option_summary of every system on every benchmark; empty where no option is on. Writes it as reports/options.csv."""
    options = study.params.retrieval
    folders = {folder_of(chosen.scales) for chosen in alone_and_together(options).values()}
    tables = [
        option_summary(study, benchmark, system, {name: load_codes(study, benchmark, system, name) for name in folders}, options)
        for benchmark in (read_benchmarks(study) if folders else [])
        for system in systems(study)
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    write_bytes(study.reports / "options.csv", table.to_csv(index=False, float_format="%.6f").encode())
    return table


def table_of_options(options: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame | None:
    """mAP plain (the summary's) and with each option: a row a system, a column an option and benchmark; None without options."""
    if options.empty:
        return None
    both = {"plain": summary} | dict(iter(options.groupby("option", sort=False)))
    return pd.concat({str(name): table_of(rows) for name, rows in both.items()}, axis=1)
