"""The finished runs put together: the tables under reports/study. Intervals are of the bootstrap over places and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bcdh_lib.comparison.plan import REFERENCE
from bcdh_lib.comparison.runs import Labelled
from bcdh_lib.comparison.significance import MEAN, answered, by_benchmark, difference, differences, interval, with_verdicts
from bcdh_lib.retrieval.systems import BCDH, FLOAT
from bcdh_lib.training.losses import LOSSES

KEYS = ["scoring", "method", "bits"]
COLUMNS = ["benchmark", "method", "bits", "seed", "scoring", "query", "group", "positives", "ap"]
"""The columns of the table `queries` that the study keeps."""


def summarise_study(runs: Sequence[Labelled]) -> dict[str, Any]:
    """Every table that is made from the runs, by file name."""
    queries = pd.concat(
        [each.run.read().rows[COLUMNS].assign(experiment=each.experiment, variant=each.variant) for each in runs],
        ignore_index=True,
    ).astype({"bits": "Int32", "ap": "float32"})
    comparison = queries[queries["experiment"] == "comparison"]
    mean = means(comparison, KEYS)
    tables = {
        "headline.csv": headline(mean),
        "mean.csv": mean,
        "benchmarks.csv": means(comparison, ["benchmark", *KEYS]),
        "differences.csv": differences(comparison),
        "history.csv": histories(runs),
        "bits.csv": statistics(runs),
        "queries.parquet": queries[["experiment", "variant", *COLUMNS]],
    }
    if (queries["experiment"] == "ablations").any():
        tables["ablations.csv"] = ablations(queries)
    if (queries["experiment"] == "models").any():
        points = by_models(queries, runs)
        tables["models.csv"] = means(points, ["models", *KEYS])
        tables["models_differences.csv"] = gains(points)
    return tables


def means(queries: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A row a value of `keys`: seeds, map (mean over benchmarks and seeds), low, high, share_of_float (the float baseline's)."""
    rows = [
        dict(zip(keys, names, strict=True))
        | {"seeds": own["seed"].nunique(), "map": own.groupby("benchmark")["ap"].mean().mean()}
        | interval(own.assign(value=own["ap"]))
        for names, own in answered(queries).groupby(list(keys), dropna=False, sort=True)
    ]
    table = pd.DataFrame(rows).astype({"bits": "Int32"})
    others = [key for key in keys if key not in KEYS]
    baseline = table.loc[table["method"] == FLOAT, [*others, "map"]].rename(columns={"map": "float"})
    table = table.merge(baseline, on=others, how="left") if others else table.assign(float=baseline["float"].max())
    return table.assign(share_of_float=table["map"] / table["float"]).drop(columns="float")


def headline(mean: pd.DataFrame) -> pd.DataFrame:
    """From mean.csv, a row a scoring, code length and role: bcdh, best_other_loss, itq; and one of the float_baseline."""
    roles = {"bcdh": [BCDH], "best_other_loss": [method for method in LOSSES if method != BCDH], "itq": ["itq"]}
    rows = [
        own.loc[[own["map"].idxmax()]].assign(role=role)
        for _, same in mean[mean["bits"].notna()].groupby(["scoring", "bits"], sort=True)
        for role, methods in roles.items()
        if len(own := same[same["method"].isin(methods)])
    ]
    table = pd.concat([*rows, mean[mean["method"] == FLOAT].assign(role="float_baseline")], ignore_index=True)
    return table[["scoring", "bits", "role", "method", "seeds", "map", "low", "high", "share_of_float"]]


def ablations(queries: pd.DataFrame) -> pd.DataFrame:
    """A row an ablation, benchmark (and their mean), scoring and length: map, and its difference from BCDH as tuned.

    Columns: ablation, benchmark, scoring, bits, seeds, map, difference, low, high, p, p_holm, verdict. A family is all ablations
    and lengths of one benchmark and scoring. The row `reference` has the unchanged method's map alone.
    """
    changed = queries[queries["experiment"] == "ablations"]
    tuned = queries[(queries["experiment"] == "comparison") & (queries["method"] == BCDH)]
    tuned = tuned[tuned["bits"].isin(changed["bits"].unique()) & tuned["seed"].isin(changed["seed"].unique())]
    tested, reference = [], []
    for (scoring, bits), same in tuned.groupby(["scoring", "bits"]):
        where = {"scoring": scoring, "bits": bits}
        reference += [where | each for each in _maps(same)]
        others = changed[(changed["scoring"] == scoring) & (changed["bits"] == bits)]
        for name, own in others.groupby("variant", sort=False):
            maps = {each["benchmark"]: each for each in _maps(own)}
            tested += [{"ablation": name} | where | maps[each["benchmark"]] | each for each in by_benchmark(own, same)]
    table = with_verdicts(pd.DataFrame(tested), ["benchmark", "scoring"])
    table = pd.concat([pd.DataFrame(reference).assign(ablation=REFERENCE), table], ignore_index=True).astype({"bits": "Int32"})
    columns = ["ablation", "benchmark", "scoring", "bits", "seeds", "map", "difference", "low", "high", "p", "p_holm", "verdict"]
    return table[columns]


def _maps(queries: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Benchmark, seeds and map, of the mean over the benchmarks and of each."""
    by = answered(queries).groupby("benchmark")["ap"].mean()
    for name, value in {MEAN: by.mean(), **by}.items():
        yield {"benchmark": name, "seeds": queries["seed"].nunique(), "map": value}


def by_models(queries: pd.DataFrame, runs: Sequence[Labelled]) -> pd.DataFrame:
    """The queries of the curve over the number of 3D models, column `models`; the last point is the comparison's own runs."""
    few = queries[queries["experiment"] == "models"]
    same = queries["seed"].isin(few["seed"].unique()) & queries["method"].isin(few["method"].unique())
    whole = queries[(queries["experiment"] == "comparison") & same & (queries["bits"].isna() | queries["bits"].isin(few["bits"]))]
    count = next(each.run.vectors.read().facts["models"] for each in runs if each.experiment == "comparison")
    return pd.concat([few.assign(models=few["variant"].astype(int)), whole.assign(models=count)], ignore_index=True)


def gains(points: pd.DataFrame) -> pd.DataFrame:
    """BCDH less ITQ, and less the loss that has the highest mAP at that point, by the number of 3D models.

    Columns: models, scoring, bits, against (itq, best_other_loss), method, and those of `difference` and `with_verdicts`. A
    family is what one scoring asks against one of the two.
    """
    roles = {"itq": ["itq"], "best_other_loss": [method for method in LOSSES if method != BCDH]}
    rows = []
    for (models, scoring, bits), same in points[points["bits"].notna()].groupby(["models", "scoring", "bits"]):
        bcdh, maps = same[same["method"] == BCDH], answered(same).groupby(["method", "benchmark"])["ap"].mean()
        for against, methods in roles.items():
            others = maps[maps.index.isin(methods, level="method")].groupby("method").mean()
            if len(others) and len(bcdh):
                method = str(others.idxmax())
                where = {"models": models, "scoring": scoring, "bits": bits, "against": against, "method": method}
                rows.append(where | difference(bcdh, same[same["method"] == method]))
    columns = ["models", "scoring", "bits", "against", "method", "places", "seeds", "difference", "low", "high", "p"]
    return with_verdicts(pd.DataFrame(rows, columns=columns).astype({"bits": "Int32"}), ["against", "scoring"])


def histories(runs: Sequence[Labelled]) -> pd.DataFrame:
    """Rounds of training in the comparison, mean over the seeds: method, bits, round, loss, quantization, validation_map."""
    tables = []
    for each in runs:
        if each.experiment == "comparison":
            history = pd.DataFrame(each.run.read().facts.get("history", []))
            history = each.run.vectors.read().rows if each.run.method == FLOAT else history
            tables.append(history.assign(method=each.run.method, bits=each.run.bits))
    keys = ["method", "bits", "round"]
    table = pd.concat([table for table in tables if len(table)], ignore_index=True).astype({"bits": "Int32"})
    return table.groupby(keys, dropna=False, sort=False)[["loss", "quantization", "validation_map"]].mean().reset_index()


def statistics(runs: Sequence[Labelled]) -> pd.DataFrame:
    """How the bits of codes behave in the comparison, mean over the seeds: method, bits, and the names of bit_statistics."""
    rows = [
        {"method": each.run.method, "bits": each.run.bits} | facts["statistics"]
        for each in runs
        if each.experiment == "comparison" and "statistics" in (facts := each.run.read().facts)
    ]
    return pd.DataFrame(rows).groupby(["method", "bits"], sort=False).mean().reset_index()
