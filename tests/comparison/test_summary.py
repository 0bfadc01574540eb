"""Tables of the comparison: by hand, against plain loops, of one seed or nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bcdh_lib.comparison.summary import (
    against,
    bits_of,
    curves_of,
    from_parent,
    histories_of,
    mean_over_benchmarks,
    minutes_of,
    recentring,
    summarise_cells,
)
from bcdh_lib.retrieval.score import RECALLS


def made_up_queries():
    """Two seeds of two queries with positives and one without; ours, DSH and the float parent."""
    ap = {"binary_constrained": [[0.5, 0.7], [0.7, 0.9]], "dsh": [[0.5, 0.3], [0.7, 0.5]], "float": [[0.8, 0.8], [0.8, 0.8]]}
    rows = [
        {"benchmark": "b", "method": method, "bits": None if method == "float" else 8, "seed": seed, "query": f"q{place}"}
        | {"positives": 3, "ap": value}
        for method, seeds in ap.items()
        for seed, values in enumerate(seeds)
        for place, value in enumerate(values)
    ]
    empty = [row | {"query": "empty", "positives": 0, "ap": np.nan} for row in rows if row["query"] == "q0"]
    return pd.DataFrame(rows + empty).astype({"bits": "Int32"})


def test_summary_by_hand():
    """Ours: seeds .6 and .8, mean .7; with two seeds t is 12.706 and the standard error .1."""
    table = summarise_cells(made_up_queries()).set_index("method")
    assert table.loc["binary_constrained", ["seeds", "map", "share_of_float"]].tolist() == pytest.approx([2, 0.7, 0.875])
    low, high = stats.t.interval(0.95, 1, 0.7, 0.1)
    assert table.loc["binary_constrained", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert low == pytest.approx(0.7 - 1.2706, abs=1e-4)
    assert table.loc["float", ["map", "low", "high", "share_of_float"]].tolist() == pytest.approx([0.8, 0.8, 0.8, 1])
    alone = summarise_cells(made_up_queries().query("seed == 0 and method == 'dsh'")).iloc[0]
    assert alone["map"] == pytest.approx(0.4)
    assert np.isnan([alone["low"], alone["share_of_float"]]).all()


def test_against_by_hand():
    """Ours is DSH's equal on one query and .4 better on the other, both seeds alike; two queries settle nothing."""
    row = against(made_up_queries()).iloc[0]
    assert row["difference"] == pytest.approx(0.2)
    assert row[["benchmark", "bits", "method", "queries", "verdict"]].tolist() == ["b", 8, "dsh", 2, "tie"]
    assert row[["wins", "ties", "losses"]].tolist() == [1, 1, 0]
    many = pd.concat([made_up_queries().assign(query=lambda rows, n=n: rows["query"] + str(n)) for n in range(30)])
    assert against(many)["verdict"].tolist() == ["win"]
    swapped = many.replace({"method": {"dsh": "binary_constrained", "binary_constrained": "dsh"}})
    assert against(swapped)["verdict"].tolist() == ["loss"]
    assert against(swapped)[["wins", "ties", "losses"]].to_numpy().tolist() == [[0, 30, 30]]
    assert against(many[many["method"] == "float"]).empty


def two_benchmarks():
    """The made-up queries, and a second benchmark where every AP is .1 lower."""
    first = made_up_queries()
    return pd.concat([first, first.assign(benchmark="c", ap=first["ap"] - 0.1)])


def test_mean_over_benchmarks_by_hand():
    """Ours: seeds .6 and .8 on one benchmark, .5 and .7 on the other: .55 and .75 in the mean; the float parent .75."""
    compared = against(two_benchmarks())
    table = mean_over_benchmarks(two_benchmarks(), compared).set_index("method")
    ours = table.loc["binary_constrained"]
    assert ours[["seeds", "map", "share_of_float"]].tolist() == pytest.approx([2, 0.65, 0.65 / 0.75])
    low, high = stats.t.interval(0.95, 1, 0.65, 0.1)
    assert ours[["low", "high"]].tolist() == pytest.approx([low, high])
    assert table.loc["dsh", ["win", "tie", "loss"]].tolist() == [0, 2, 0]
    assert pd.isna(ours["tie"])


def test_recentring_by_hand():
    """DSH's codes recentred gain .1 with one seed and .3 with the other; real vectors have no row."""
    queries = made_up_queries()
    gain = queries["seed"].map({0: 0.1, 1: 0.3})
    moved = queries.assign(method=queries["method"] + "_recentred", ap=queries["ap"] + gain)
    table = recentring(pd.concat([queries, moved[moved["method"] == "dsh_recentred"]]))
    assert len(table) == 1
    row = table.iloc[0]
    assert row[["benchmark", "method", "bits", "seeds"]].tolist() == ["b", "dsh", 8, 2]
    assert row[["map", "recentred", "difference"]].tolist() == pytest.approx([0.5, 0.7, 0.2])
    low, high = stats.t.interval(0.95, 1, 0.2, 0.1)
    assert row[["low", "high"]].tolist() == pytest.approx([low, high])


def facts(seed, method="dsh", bits=8, **noted):
    return {
        "method": method,
        "bits": bits,
        "seed": seed,
        "curves": {"b": np.linspace(1, seed / 10, len(RECALLS)).tolist()},
    } | noted


def test_curves_are_means_over_seeds():
    table = curves_of([facts(1), facts(3), facts(1, method="dsh_recentred"), facts(2, method="float", bits=None)])
    dsh = table[table["method"] == "dsh"]
    assert dsh["recall"].tolist() == RECALLS.tolist()
    assert dsh["precision"].iloc[[0, -1]].tolist() == pytest.approx([1, 0.2])
    assert dsh["high"].iloc[-1] == pytest.approx(0.2 + 12.7062 * 0.1, rel=1e-4)
    assert set(table["method"]) == {"dsh", "float"}
    assert table.loc[table["method"] == "float", "bits"].isna().all()
    assert curves_of([]).empty


def test_bits_and_history_are_means_over_seeds():
    history = [{"round": 0, "validation_map": 0.2}, {"round": 1, "validation_map": 0.4}]
    noted = [
        facts(1, statistics={"frozen_bits": 0.1}, history=history),
        facts(2, statistics={"frozen_bits": 0.3}, history=[row | {"validation_map": 0.6} for row in history]),
        facts(1, method="float", bits=None, statistics=None, history=history),
        facts(1, method="itq"),
    ]
    assert bits_of(noted).to_dict("records") == [{"method": "dsh", "bits": 8, "frozen_bits": pytest.approx(0.2)}]
    table = histories_of(noted)
    assert table.loc[table["method"] == "dsh", "validation_map"].tolist() == pytest.approx([0.4, 0.5])
    assert table.loc[table["method"] == "float", "validation_map"].tolist() == pytest.approx([0.2, 0.4])
    assert bits_of([]).empty
    assert histories_of([facts(1)]).empty


def test_from_the_parent_beside_shallow_codes_of_the_same_seeds():
    """Ours from the parent with seed 1 only: beside it stand the parent and its shallow codes of seed 1, and no other loss."""
    queries = made_up_queries()
    started = queries[(queries["method"] == "binary_constrained") & (queries["seed"] == 1)]
    started = started.assign(ap=started["ap"] + 0.2)
    shallow = queries[queries["method"] == "dsh"].assign(method="itq")
    tables = from_parent(started, pd.concat([queries, shallow]))
    means = tables["from_parent"].set_index("method")
    assert set(means.index) == {"binary_constrained", "float", "itq"}
    assert (means["seeds"] == 1).all()
    ours = queries[(queries["method"] == "binary_constrained") & (queries["seed"] == 1) & (queries["positives"] > 0)]
    assert means.loc["binary_constrained", "map"] == pytest.approx(ours["ap"].mean() + 0.2)
    assert tables["from_parent_against"]["method"].tolist() == ["itq"]
    assert set(tables["from_parent_summary"]["method"]) == set(means.index)


def test_minutes_by_kind(study):
    assert minutes_of(study) == {}
    (study.reports / "study").mkdir(parents=True)
    (study.reports / "study/log.csv").write_text("trials,dsh-00-1,0.25\ntrials,dsh-00-2,0.5\ncells,dsh-8-1,2.0\n")
    assert minutes_of(study) == {"trials": {"pieces": 2, "minutes": 0.8}, "cells": {"pieces": 1, "minutes": 2.0}}
