"""Ablations: what is laid over the chosen configuration, what is refused, and their table by hand."""

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison.ablations import REFERENCE, Ablations, ablated, differences_from_reference
from bcdh_lib.comparison.matrix import load_plan
from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import find_root, open_study

CHOSEN = {"head_learning_rate": 1e-3, "form": "smooth", "margin": 0.3, "quantization_share": 0.1}


def ablations(**changes):
    return Ablations.model_validate({"bits": 16, "seeds": [1, 2], "changes": changes})


def settings_of(plan, name, params):
    cell = next(cell for cell in plan.cells() if cell.method == name)
    return ablated(params, plan.each[name], cell, CHOSEN)


def test_one_thing_changes_at_a_time(params):
    plan = ablations(exact={"settings": {"form": "exact"}}, plain={"network": {"normalise": False}})
    reference = settings_of(plan, REFERENCE, params)
    assert reference.losses["binary_constrained"]["form"] == "smooth"
    assert reference.training.head_learning_rate == 1e-3
    assert [(run.method, run.bits) for run in reference.training.runs] == [("binary_constrained", 16)]
    exact, plain = settings_of(plan, "exact", params), settings_of(plan, "plain", params)
    losses = reference.losses["binary_constrained"] | {"form": "exact"}
    assert exact == reference.model_copy(update={"losses": reference.losses | {"binary_constrained": losses}})
    assert plain == reference.model_copy(update={"network": reference.network.model_copy(update={"normalise": False})})


def test_a_cell_an_ablation_and_seed_those_of_a_supply_together():
    plan = ablations(a={"supply": {"source": "truth"}}, b={"settings": {"form": "exact"}}, c={"supply": {"source": "truth"}})
    cells = plan.cells()
    assert [cell.seed for cell in cells] == [1] * 4 + [2] * 4
    assert [cell.method for cell in cells[:4]] == [REFERENCE, "b", "a", "c"]
    assert {cell.folder for cell in cells} == {"ablations"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"colour": 1}}, "changes.odd.settings: colour is no setting of binary_constrained"),
        ({"network": {"gem_power": 0}}, "changes.odd.network: gem_power: .*greater than or equal to 1"),
        ({"network": {"colour": 1}}, "changes.odd.network: colour: Extra inputs"),
    ],
)
def test_what_cannot_be_changed_is_named(params, change, said):
    with pytest.raises(StudyError, match=said):
        settings_of(ablations(odd=change), "odd", params)
    with pytest.raises(ValueError, match=r"reference: is the name of the unchanged method"):
        ablations(reference={})


def test_the_study_s_own_ablations_are_settings_there_are():
    plan = load_plan(find_root() / "study.yaml").ablations
    params = open_study(root=find_root()).params
    different = {repr((settings_of(plan, name, params), each.supply)) for name, each in plan.each.items()}
    assert len(different) == len(plan.each) - 1  # CHOSEN is smooth already


def test_the_table_by_hand():
    """Two seeds of two queries and one without positives: .5 and .7 on average against .4 and .4."""
    ap = {REFERENCE: [[0.3, 0.4], [0.5, 0.4]], "other": [[0.5, 0.6], [0.5, 0.8]]}
    rows = [
        {"benchmark": "b", "method": method, "bits": 16, "seed": seed, "query": f"q{place}", "positives": 2, "ap": value}
        for method, seeds in ap.items()
        for seed, values in enumerate(seeds)
        for place, value in enumerate(values)
    ]
    empty = [row | {"query": "empty", "positives": 0, "ap": np.nan} for row in rows[::2]]
    row = differences_from_reference(pd.DataFrame(rows + empty)).iloc[0]
    assert row[["benchmark", "ablation", "seeds"]].tolist() == ["b", "other", 2]
    assert row[["map", "difference", "low", "high"]].tolist() == pytest.approx([0.6, 0.2, 0.1, 0.3])
    alone = differences_from_reference(pd.DataFrame(rows[:4]))
    assert alone.empty
    assert "p_holm" in alone
