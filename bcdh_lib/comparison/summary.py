"""The finished cells of the comparison put together: the tables under reports/study that bcdh_lib.comparison.study_tables reads.

Cells, trials and ablations themselves lie in folders beside them and are not committed: all their rows are in queries.parquet,
ablation_queries.parquet and trials.csv.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from bcdh_lib.comparison.ablations import FOLDER, REFERENCE, differences_from_reference
from bcdh_lib.comparison.cells import RECENTRED, read_cells
from bcdh_lib.comparison.from_parent import FOLDER as STARTED_FROM_PARENT
from bcdh_lib.comparison.provenance import read_log
from bcdh_lib.comparison.significance import against_each, differences_of
from bcdh_lib.core.files import write_bytes, write_json
from bcdh_lib.core.tables import write_table
from bcdh_lib.retrieval.score import FLOAT, OURS, RECALLS
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import Study

LEVEL = 0.05


def write_summary(study: Study) -> None:
    """Write the tables of all cells that are there, and print a line that counts the verdicts.

    queries.parquet (all rows), summary.csv, mean.csv, against.csv, recentring.csv, curves.csv (mean precision at each recall),
    bits.csv (how the bits behave), history.csv, minutes.json; and ablations.csv, ablations_bits.csv, ablation_queries.parquet
    where ablations were run; and from_parent.csv, from_parent_summary.csv, from_parent_against.csv,
    from_parent_history.csv, from_parent_queries.parquet where methods were started from the float parent.
    Raises StudyError where no cell is there.
    """
    queries, facts = read_cells(study)
    recentred = queries["method"].str.endswith(RECENTRED)
    compared = against(queries[~recentred])
    tables = {
        "summary": summarise_cells(queries[~recentred]),
        "mean": mean_over_benchmarks(queries[~recentred], compared),
        "against": compared,
        "recentring": recentring(queries),
        "curves": curves_of(facts),
        "bits": bits_of(facts),
        "history": histories_of(facts),
    }
    if (study.reports / "study" / FOLDER).is_dir():
        changed, noted = read_cells(study, FOLDER)
        if (changed["method"] == REFERENCE).any():
            tables |= {"ablations": differences_from_reference(changed), "ablations_bits": bits_of(noted)}
            write_table(study.reports / "study", "ablation_queries", changed, form="queries")
    if (study.reports / "study" / STARTED_FROM_PARENT).is_dir():
        started, noted = read_cells(study, STARTED_FROM_PARENT)
        tables |= from_parent(started, queries) | {"from_parent_history": histories_of(noted)}
        write_table(study.reports / "study", "from_parent_queries", started, form="queries")
    write_table(study.reports / "study", "queries", queries)
    for name, table in tables.items():
        write_bytes(study.reports / f"study/{name}.csv", table.to_csv(index=False, float_format="%.6f").encode())
    write_json(study.reports / "study/minutes.json", minutes_of(study))
    counts = compared["verdict"].value_counts()
    told = ", ".join(
        f"{counts.get(verdict, 0)} {word}" for verdict, word in (("win", "wins"), ("tie", "ties"), ("loss", "losses"))
    )
    print(f"reports/study/summary.csv, against.csv: {OURS} against each: {told}")


def summarise_cells(queries: pd.DataFrame) -> pd.DataFrame:
    """A row a benchmark, method and code length: seeds, mean mAP over them, its 95 % interval, share of the float parent's mAP.

    The interval is Student's t over the seeds' mAP; NaN with one seed. mAP leaves out queries without positives. The share is of
    means over the seeds; NaN where there is no float parent.
    """
    grouped = mean_by_seed(queries).groupby(["benchmark", "method", "bits"], dropna=False)["ap"]
    table = with_interval(grouped, "map")
    parents = table[table["method"] == FLOAT].set_index("benchmark")["map"]
    table["share_of_float"] = table["map"] / table["benchmark"].map(parents)
    return table


def mean_over_benchmarks(queries: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """A row a method and code length: mAP, mean over benchmarks and seeds, its 95 % interval over the seeds, share of the float
    parent's; and on how many benchmarks ours wins, ties and loses against it, from `against`.
    """
    by_seed = mean_by_seed(queries).groupby(["method", "bits", "seed"], dropna=False)["ap"].mean().reset_index()
    table = with_interval(by_seed.groupby(["method", "bits"], dropna=False)["ap"], "map")
    table["share_of_float"] = table["map"] / table.loc[table["method"] == FLOAT, "map"].max()
    verdicts = pd.crosstab([compared["method"], compared["bits"]], compared["verdict"])
    verdicts = verdicts.reindex(columns=["win", "tie", "loss"], fill_value=0).reset_index().astype({"bits": "Int32"})
    counted = table.astype({"bits": "Int32"}).merge(verdicts, on=["method", "bits"], how="left")
    return counted.astype(dict.fromkeys(("win", "tie", "loss"), "Int32"))


def against(queries: pd.DataFrame) -> pd.DataFrame:
    """significance.against_each of our method, with the verdict (win, tie or loss at the level .05 after Holm), and of how many
    queries our mean AP over the seeds is the better one (`wins`), equal (`ties`) or the worse one (`losses`).

    Codes are compared with codes of their length alone: real vectors, trained or not, have none and stand only in the summary.
    """
    table = against_each(queries, OURS)
    counts = []
    for benchmark, bits, method in table[["benchmark", "bits", "method"]].itertuples(index=False, name=None):
        differences = differences_of(queries[queries["benchmark"] == benchmark], OURS, method, bits).groupby("query").mean()
        signs = np.sign(differences.round(12))
        counts.append({"wins": (signs > 0).sum(), "ties": (signs == 0).sum(), "losses": (signs < 0).sum()})
    verdict = np.select([table["p_holm"] >= LEVEL, table["difference"] > 0], ["tie", "win"], default="loss")
    return pd.concat([table.assign(verdict=verdict), pd.DataFrame(counts, columns=["wins", "ties", "losses"])], axis=1)


def recentring(queries: pd.DataFrame) -> pd.DataFrame:
    """A row a benchmark, trained method and code length: mAP over the seeds, and with the bits recentred on the database.

    Columns: benchmark, method, bits, seeds, map, recentred, difference, low and high (its 95 % interval over the seeds).
    """
    by_seed = mean_by_seed(queries[queries["bits"].notna()])
    keys = ["benchmark", "method", "bits", "seed"]
    moved = by_seed[by_seed["method"].str.endswith(RECENTRED)]
    moved = moved.assign(method=moved["method"].str.removesuffix(RECENTRED)).rename(columns={"ap": "recentred"})
    both = by_seed.merge(moved, on=keys).assign(difference=lambda rows: rows["recentred"] - rows["ap"])
    grouped = both.groupby(keys[:3], sort=False)
    table = grouped.agg(map=("ap", "mean"), recentred=("recentred", "mean")).reset_index()
    gains = with_interval(grouped["difference"], "difference")
    return pd.concat([table[keys[:3]], gains["seeds"], table[["map", "recentred"]], gains[["difference", "low", "high"]]], axis=1)


def from_parent(started: pd.DataFrame, queries: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of the methods that started from the float parent, beside it and its shallow codes, of the same seeds."""
    beside = queries[queries["seed"].isin(started["seed"].unique()) & queries["method"].isin((FLOAT, *SHALLOW))]
    rows = pd.concat([started, beside], ignore_index=True)
    compared = against(rows)
    return {
        "from_parent": mean_over_benchmarks(rows, compared),
        "from_parent_summary": summarise_cells(rows),
        "from_parent_against": compared,
    }


def curves_of(facts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Precision at each of retrieval.RECALLS, mean over queries and seeds: benchmark, method, bits, recall, precision, low, high.

    low, high: 95 % interval over the seeds, Student's t.
    """
    rows = [
        {"benchmark": benchmark, "method": each["method"], "bits": each["bits"], "recall": recall, "precision": precision}
        for each in facts
        for benchmark, curve in each["curves"].items()
        for recall, precision in zip(RECALLS, curve, strict=True)
        if not str(each["method"]).endswith(RECENTRED)
    ]
    keys = ["benchmark", "method", "bits", "recall"]
    table = pd.DataFrame(rows, columns=[*keys, "precision"]).astype({"bits": "Int32"})
    return with_interval(table.groupby(keys, dropna=False, sort=False)["precision"], "precision").drop(columns="seeds")


def bits_of(facts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """What bit_statistics found of every trained code, mean over the seeds: a row a method and code length."""
    rows = [{"method": each["method"], "bits": each["bits"]} | each["statistics"] for each in facts if each.get("statistics")]
    return pd.DataFrame(rows).groupby(["method", "bits"], sort=False).mean().reset_index() if rows else pd.DataFrame()


def histories_of(facts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rounds of training, mean over the seeds: method, bits, round, loss, quantization, validation_map."""
    rows = [
        {"method": each["method"], "bits": each["bits"]} | row for each in facts if "history" in each for row in each["history"]
    ]
    keys = ["method", "bits", "round"]
    return pd.DataFrame(rows).groupby(keys, dropna=False, sort=False).mean().reset_index() if rows else pd.DataFrame()


def minutes_of(study: Study) -> dict[str, dict[str, float]]:
    """Pieces of work in the log, their number and minutes, by kind: trials, cells, ablations."""
    log = read_log(study)
    return {
        str(kind): {"pieces": len(rows), "minutes": round(float(rows["minutes"].sum()), 1)}
        for kind, rows in log.groupby("kind", sort=False)
    }


def with_interval(values: Any, name: str) -> pd.DataFrame:
    """A row a group: its keys, how many `seeds` it has, their mean by this name, low and high.

    These are its 95 % interval, Student's t; NaN for a group of one. values: a pandas SeriesGroupBy, a value a seed.
    """
    table = values.agg(**{"seeds": "size", name: "mean"}).reset_index()
    half = student.ppf(0.975, table["seeds"] - 1) * values.std().to_numpy() / np.sqrt(table["seeds"])
    return table.assign(low=table[name] - half, high=table[name] + half)


def mean_by_seed(queries: pd.DataFrame) -> pd.DataFrame:
    """mAP of every benchmark, method, code length and seed; queries without positives are left out."""
    answered = queries[queries["positives"] > 0]
    return answered.groupby(["benchmark", "method", "bits", "seed"], dropna=False)["ap"].mean().reset_index()
