"""Whether a difference in mAP is more than luck: paired bootstrap over places and seeds, and Holm's correction.

Queries of one place (a landmark, or a Holidays group) share their answers, so they are not independent: places are drawn, not
queries. Seeds are drawn too, since training again gives another network. Benchmarks share no place; each draws its own.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVEL = 0.05
DRAWS = 10_000
MEAN = "mean"
"""What the column `benchmark` calls the mean over all benchmarks."""


def bootstrap(values: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """`draws` values of the mean over benchmarks, if places and seeds are drawn with replacement.

    values: a row a benchmark, seed and query, with its `group` (the place) and `value`; every seed has the same queries. A
    benchmark's value is its mean over drawn seeds and over the queries of drawn places, so a place with more queries counts
    more, as it does in mAP. One seed, or one place, does not vary. With few seeds their share of the variance is
    underestimated, by the factor (n - 1) / n.
    """
    seeds = np.unique(values["seed"])
    seed_counts = _counts(seed, draws, len(seeds))
    means = []
    for number, (_, rows) in enumerate(values.groupby("benchmark", sort=True), start=seed + 1):
        sums = rows.pivot_table(index="seed", columns="group", values="value", aggfunc="sum").reindex(seeds).to_numpy()
        queries = rows[rows["seed"] == rows["seed"].iloc[0]].groupby("group").size().to_numpy()
        place_counts = _counts(number, draws, len(queries))
        drawn = np.einsum("ds,sp,dp->d", seed_counts, sums, place_counts, optimize=True)
        means.append(drawn / (len(seeds) * (place_counts @ queries)))
    return np.mean(means, axis=0)


@functools.lru_cache(maxsize=32)
def _counts(seed: int, draws: int, n: int) -> NDArray[np.float64]:
    """How often each of n things is drawn if n are drawn with replacement, [draws, n]."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def interval(drawn: NDArray[np.float64]) -> dict[str, float]:
    """`low` and `high`, the 95 % interval of the values that `bootstrap` drew."""
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return {"low": float(low), "high": float(high)}


def difference(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    """First less second in mAP, mean over benchmarks, paired by benchmark, seed and query.

    Returns places, seeds, difference, low, high, p. Both: rows of the table `queries`. p is two-sided: twice the share of draws
    on the other side of 0, never less than 1 / DRAWS. Queries that only one of the two answered with some seed are left out.
    """
    keys = ["benchmark", "seed", "query"]
    both = answered(first).merge(answered(second)[[*keys, "ap"]], on=keys, suffixes=("", "_second"))
    values = both.assign(value=both["ap"] - both["ap_second"])
    drawn = bootstrap(values)
    tail = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return {
        "places": len(values[["benchmark", "group"]].drop_duplicates()),
        "seeds": values["seed"].nunique(),
        "difference": float(values.groupby("benchmark")["value"].mean().mean()),
        **interval(drawn),
        "p": float(np.clip(2 * tail, 1 / DRAWS, 1)),
    }


def answered(queries: pd.DataFrame) -> pd.DataFrame:
    """The queries that have positives."""
    return queries[queries["positives"] > 0]


def holm(p: Sequence[float] | pd.Series) -> NDArray[np.float64]:
    """p values of one family corrected by Holm's step-down method (Scandinavian Journal of Statistics 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return corrected


Asked = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]
"""What a difference is called in a table, and the rows of `queries` of its two sides."""


def differences(asked: Iterable[Asked], names: Sequence[str], family: Sequence[str], each_benchmark: bool = True) -> pd.DataFrame:
    """First less second of everything asked: a row for the mean over the benchmarks and, if wanted, one for each of them.

    Columns: names, which may place `benchmark`; those of `difference`; p_holm, corrected within each family (rows with equal
    values in these columns); verdict: better or worse if p_holm is below LEVEL, else undecided.
    """
    rows = []
    for called, first, second in asked:
        rows.append(called | {"benchmark": MEAN} | difference(first, second))
        for name in sorted(set(first["benchmark"])) if each_benchmark else []:
            own = [side[side["benchmark"] == name] for side in (first, second)]
            rows.append(called | {"benchmark": name} | difference(*own))
    columns = [*names, "places", "seeds", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns).astype({"bits": "Int32"})
    corrected = table.groupby(list(family), sort=False)["p"].transform(lambda p: holm(p))
    sure = corrected < LEVEL
    verdict = np.select([sure & (table["difference"] > 0), sure], ["better", "worse"], default="undecided")
    return table.assign(p_holm=corrected, verdict=verdict)
