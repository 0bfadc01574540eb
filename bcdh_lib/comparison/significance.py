"""Is a difference in mAP more than the luck of the queries? Paired bootstrap over queries, corrected for many comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES = 50_000
"""Enough that the least p it can give, 2 / RESAMPLES, times some hundred comparisons, is still below .05."""


def differences_of(queries: pd.DataFrame, ours: str, other: str, bits: int) -> pd.Series:
    """AP of `ours` less AP of `other`, by benchmark, seed and query, for the queries with positives that both answered."""
    answered = queries[(queries["positives"] > 0) & (queries["bits"].isna() | (queries["bits"] == bits))]
    keys = ["benchmark", "seed", "query"]
    ap = {method: answered[answered["method"] == method].set_index(keys)["ap"] for method in (ours, other)}
    return (ap[ours] - ap[other].reindex(ap[ours].index)).dropna()


def against_each(queries: pd.DataFrame, ours: str) -> pd.DataFrame:
    """`ours` against every other method of the same code length, a row a benchmark and comparison, from the table `queries`.

    Columns: benchmark, bits, method, queries, difference (of mAP, ours less the other's; AP means over seeds first), low and
    high (its 95 % interval), p (two-sided), p_holm (p corrected for all rows together).
    """
    coded = queries[queries["bits"].notna()]
    lengths = coded.loc[coded["method"] == ours, "bits"].unique()
    pairs = coded.loc[coded["bits"].isin(lengths) & (coded["method"] != ours), ["bits", "method"]].drop_duplicates()
    rows = []
    for bits, method in sorted(pairs.itertuples(index=False, name=None)):
        by_query = differences_of(coded, ours, method, bits).groupby(["benchmark", "query"], sort=False).mean()
        for benchmark, differences in by_query.groupby("benchmark", sort=False):
            row = {"benchmark": benchmark, "bits": int(bits), "method": method, "queries": len(differences)}
            rows.append(row | bootstrap(differences.to_numpy()))
    columns = ["benchmark", "bits", "method", "queries", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))


def bootstrap(differences: NDArray[np.float64], seed: int = 0) -> dict[str, float]:
    """The mean `difference` of paired values [n], its 95 % percentile interval `low` to `high`, and its two-sided `p`.

    Efron and Tibshirani (1993): queries are drawn with replacement RESAMPLES times. p is twice the share of drawn means on the
    other side of 0, counting the sample itself as one more, so it is never 0.
    """
    drawn = np.random.default_rng(seed).integers(0, len(differences), (RESAMPLES, len(differences)))
    means = differences[drawn].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    side = 1 + min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * side / (RESAMPLES + 1))
    return {"difference": float(differences.mean()), "low": float(low), "high": float(high), "p": float(p)}


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p values [n] corrected so that any one false finding among them has their level (Holm, 1979)."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected
