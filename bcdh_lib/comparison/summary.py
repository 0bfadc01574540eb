"""The finished runs put together: the tables under reports/study. Intervals are of the bootstrap over places and seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bcdh_lib.comparison.plan import REFERENCE
from bcdh_lib.comparison.runs import Run
from bcdh_lib.comparison.significance import MEAN, Asked, answered, bootstrap, differences, interval
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.retrieval.systems import BCDH, FLOAT
from bcdh_lib.training.losses import LOSSES

KEYS = ["scoring", "method", "bits"]
COLUMNS = ["benchmark", "method", "bits", "seed", "scoring", "query", "group", "positives", "ap"]
"""The columns of the table `queries` that the study keeps."""
OTHER_LOSSES = [method for method in LOSSES if method != BCDH]
QUESTIONS = {"other_losses": OTHER_LOSSES, "itq": ["itq"], "shallow_codes": [method for method in SHALLOW if method != "itq"]}
"""What BCDH is compared with."""
ASKED, FAMILY = ["question", "benchmark", "scoring", "bits", "method"], ["question", "benchmark", "scoring"]
"""What names a difference, and the family of Holm's correction: one question on one benchmark (or their mean) by one scoring."""
LONGER_BASELINE = "longer_baseline"


def summarise_study(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Every table that is made from the runs, by file name."""
    found = [run.read().rows[COLUMNS].assign(experiment=run.experiment, variant=run.variant) for run in runs]
    queries = pd.concat(found, ignore_index=True).astype({"bits": "Int32", "ap": "float32"})
    parts = {str(name): rows for name, rows in queries.groupby("experiment")}
    comparison = parts["comparison"]
    mean = means(comparison, KEYS)
    tables = {
        "headline.csv": headline(mean),
        "mean.csv": mean,
        "benchmarks.csv": means(comparison, ["benchmark", *KEYS]),
        "differences.csv": differences(against_others(comparison), ASKED, FAMILY),
        "bits.csv": statistics(runs),
        "queries.parquet": queries[["experiment", "variant", *COLUMNS]],
    }
    if "ablations" in parts:
        tables["ablations.csv"] = ablations(comparison, parts["ablations"])
    if "end_to_end" in parts:
        further = parts["end_to_end"].assign(training=parts["end_to_end"]["variant"].replace("", "end_to_end"))
        before = also_in(further, comparison, [FLOAT, "itq", *LOSSES]).assign(training="layer")
        points = pd.concat([before, further], ignore_index=True)
        trained = means(points, ["training", *KEYS]).merge(kept(runs), how="left")
        baseline = mean.loc[mean["method"] == FLOAT, "map"].max()
        tables["end_to_end.csv"] = trained.assign(share_of_float=trained["map"] / baseline)
        tables["end_to_end_differences.csv"] = differences(of_end_to_end(points), ASKED, FAMILY)
    if "models" in parts:
        few = parts["models"].assign(models=parts["models"]["variant"].astype(int))
        count = next(run.vectors.read().facts["models"] for run in runs if run.experiment == "comparison")
        last = also_in(few, comparison, few["method"].unique()).assign(models=count)
        points = pd.concat([few, last], ignore_index=True)
        tables["models.csv"] = means(points, ["models", *KEYS])
        names = ["models", "scoring", "bits", "against", "method"]
        tables["models_differences.csv"] = differences(gains(points), names, ["against", "scoring"], each_benchmark=False)
    return tables


def means(queries: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A row a value of `keys`: seeds, map (mean over benchmarks and seeds), low, high, share_of_float (the float baseline's)."""
    rows = [
        dict(zip(keys, names, strict=True))
        | {"seeds": own["seed"].nunique(), "map": own.groupby("benchmark")["ap"].mean().mean()}
        | interval(bootstrap(own.assign(value=own["ap"])))
        for names, own in answered(queries).groupby(list(keys), dropna=False, sort=True)
    ]
    table = pd.DataFrame(rows).astype({"bits": "Int32"})
    others = [key for key in keys if key not in KEYS]
    baseline = table.loc[table["method"] == FLOAT, [*others, "map"]].rename(columns={"map": "float"})
    table = table.merge(baseline, on=others, how="left") if others else table.assign(float=baseline["float"].max())
    return table.assign(share_of_float=table["map"] / table["float"]).drop(columns="float")


def headline(mean: pd.DataFrame) -> pd.DataFrame:
    """From mean.csv, a row a scoring, code length and role: bcdh, best_other_loss, itq; and one of the float_baseline."""
    roles = {"bcdh": [BCDH], "best_other_loss": OTHER_LOSSES, "itq": ["itq"]}
    rows = [
        own.loc[[own["map"].idxmax()]].assign(role=role)
        for _, same in mean[mean["bits"].notna()].groupby(["scoring", "bits"], sort=True)
        for role, methods in roles.items()
        if len(own := same[same["method"].isin(methods)])
    ]
    table = pd.concat([*rows, mean[mean["method"] == FLOAT].assign(role="float_baseline")], ignore_index=True)
    return table[["scoring", "bits", "role", "method", "seeds", "map", "low", "high", "share_of_float"]]


def by_code(queries: pd.DataFrame, *keys: str) -> Iterator[tuple[dict[str, Any], dict[str, pd.DataFrame]]]:
    """For every code length and scoring (and value of `keys`), in the table's order: these values, and each method's rows."""
    names = [*keys, "scoring", "bits"]
    for values, same in queries[queries["bits"].notna()].groupby(names, sort=False):
        yield dict(zip(names, values, strict=True)), {str(method): rows for method, rows in same.groupby("method")}


def against_others(queries: pd.DataFrame) -> Iterator[Asked]:
    """BCDH less each other loss and shallow coder, at equal code length and scoring, by QUESTIONS."""
    for code, methods in by_code(queries):
        for question, others in QUESTIONS.items():
            for method in [method for method in others if {method, BCDH} <= methods.keys()]:
                yield {"question": question, "method": method} | code, methods[BCDH], methods[method]


def also_in(part: pd.DataFrame, comparison: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The comparison's queries of these methods, with the seeds and code lengths of another part of the study."""
    same = comparison["seed"].isin(part["seed"]) & comparison["method"].isin(methods)
    return comparison[same & (comparison["bits"].isna() | comparison["bits"].isin(part["bits"].dropna()))]


def of_end_to_end(points: pd.DataFrame) -> Iterator[Asked]:
    """Codes trained end to end (by the column `training`) less those of the same method before it, `layer`, and those of the
    control; and BCDH's less the others' and ITQ's."""
    whole = points["training"] == "end_to_end"
    for question in ("layer", LONGER_BASELINE):
        for code, methods in by_code(points[whole | (points["training"] == question)]):
            for method, rows in methods.items():
                own, before = (rows[rows["training"] == training] for training in ("end_to_end", question))
                if len(own):
                    yield {"question": question, "method": method} | code, own, before
    yield from against_others(points[whole | (points["method"] == "itq")])


def kept(runs: Sequence[Run]) -> pd.DataFrame:
    """How many seeds kept a round of training end to end, because validation was better: training, method, bits, kept."""
    rows = [("end_to_end", run.method, run.bits, run.read().facts["kept"]) for run in runs if run.end_to_end]
    table = pd.DataFrame(rows, columns=["training", "method", "bits", "kept"]).astype({"bits": "Int32"})
    return table.groupby(["training", "method", "bits"], as_index=False)["kept"].sum()


def ablations(comparison: pd.DataFrame, changed: pd.DataFrame) -> pd.DataFrame:
    """A row an ablation, benchmark (and their mean), scoring and length: seeds, map, and its difference from BCDH as tuned.

    A family is all ablations and lengths of one benchmark and scoring. The row `reference` has the unchanged method's map alone.
    """
    tuned = also_in(changed, comparison, [BCDH]).assign(variant=REFERENCE)
    every, names = pd.concat([tuned, changed], ignore_index=True), ["variant", "scoring", "bits"]
    maps = answered(every).groupby([*names, "benchmark"], sort=False)["ap"].mean().reset_index(name="map")
    mean = maps.groupby(names, sort=False)["map"].mean().reset_index().assign(benchmark=MEAN)
    asked = (
        ({"variant": variant} | code, rows[rows["variant"] == variant], rows[rows["variant"] == REFERENCE])
        for code, methods in by_code(every)
        for rows in methods.values()
        for variant in changed["variant"].unique()
    )
    less = differences(asked, ["variant", "benchmark", "scoring", "bits"], ["benchmark", "scoring"])
    table = pd.concat([mean, maps], ignore_index=True).merge(less.drop(columns=["places", "seeds"]), how="left")
    table = table.rename(columns={"variant": "ablation"}).assign(seeds=changed["seed"].nunique())
    columns = ["ablation", "benchmark", "scoring", "bits", "seeds", "map", "difference", "low", "high", "p", "p_holm", "verdict"]
    return table[columns]


def gains(points: pd.DataFrame) -> Iterator[Asked]:
    """BCDH less ITQ, and less the loss that has the highest mAP at that point, by the number of 3D models."""
    for point, methods in by_code(points.sort_values("models", kind="stable"), "models"):
        maps = {method: answered(rows).groupby("benchmark")["ap"].mean().mean() for method, rows in methods.items()}
        for against, others in {"itq": ["itq"], "best_other_loss": OTHER_LOSSES}.items():
            there = [method for method in others if method in maps]
            if there and BCDH in maps:
                best = max(there, key=lambda method: maps[method])
                yield point | {"against": against, "method": best}, methods[BCDH], methods[best]


def statistics(runs: Sequence[Run]) -> pd.DataFrame:
    """How the bits of codes behave in the comparison, mean over the seeds: method, bits, and the names of bit_statistics."""
    rows = [
        {"method": run.method, "bits": run.bits} | run.read().facts["statistics"]
        for run in runs
        if run.experiment == "comparison" and run.bits
    ]
    return pd.DataFrame(rows).groupby(["method", "bits"], sort=False).mean().reset_index()
