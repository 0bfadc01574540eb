"""study.yaml and tuning: what is refused, that tuning is equal, and that what diverged is never chosen."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from bcdh_lib.comparison.plan import Interval, changed, choose, draw_configurations, load_plan, nearest
from bcdh_lib.core.errors import StudyError
from bcdh_lib.study import find_root
from tests.helpers import refused

PLAN = find_root() / "study.yaml"


def test_the_studys_own_plan_tunes_all_equally(params):
    """The owner's rule: at least 20 configurations a method, among them the rate over .001 to .1 of the layer's deviation."""
    plan = load_plan(PLAN)
    assert plan.tuning.configurations >= 20
    for method in plan.methods:
        rate = plan.tuning.ranges[method]["learning_rate"]
        assert rate.low <= 0.001 < 0.1 <= rate.high
        for configuration in draw_configurations(plan.tuning, method):
            changed(params, {f"losses.{method}": configuration})  # every one is a valid setting


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"methods": ["nonesuch"]}, "nonesuch"),
        ({"shallow": ["nonesuch"]}, "nonesuch"),
        ({"bits": [12]}, "bits"),
        ({"unknown": 1}, "unknown"),
        ({"methods": ["dsh"]}, "tuning.ranges"),
        ({"seeds": [99]}, "end_to_end"),
    ],
)
def test_a_wrong_plan_fails_in_one_line(tmp_path, change, fault):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(PLAN.read_text()) | change))
    with refused(fault):
        load_plan(path)
    path.write_bytes(b"\xff{")
    with pytest.raises(StudyError, match=r"study\.yaml"):
        load_plan(path)


def test_draws_depend_on_the_method_alone_and_stay_in_range():
    tuning = load_plan(PLAN).tuning
    alone = tuning.model_copy(update={"ranges": {"dsh": tuning.ranges["dsh"]}})
    drawn = draw_configurations(tuning, "dsh")
    assert drawn == draw_configurations(alone, "dsh")
    assert all(0.001 <= each["learning_rate"] <= 0.1 for each in drawn)
    assert len({json.dumps(each) for each in drawn}) == tuning.configurations
    values = [Interval(low=1.0, high=100.0, scale="log").draw(np.random.default_rng(k)) for k in range(200)]
    assert 60 < sum(value < 10 for value in values) < 140  # half of them below the geometric mean


def test_choose_by_hand():
    """At 32 bits the second is best, at 128 the first of equals, since the third diverged; each length takes the nearest's."""
    values = {32: (0.2, 0.5, 0.4), 128: (0.6, 0.6, np.nan)}
    trials = pd.DataFrame(
        {"method": "a", "number": number, "bits": bits, "configuration": json.dumps({"x": number}), "validation_map": value}
        for bits, row in values.items()
        for number, value in enumerate(row)
    )
    chosen = choose(trials)
    assert {bits: best["number"] for bits, best in chosen["a"].items()} == {32: 1, 128: 0}
    assert [nearest(chosen, "a", bits)["x"] for bits in (16, 32, 64, 72, 256)] == [1, 1, 1, 0, 0]
    with pytest.raises(StudyError, match="diverged"):
        choose(trials[trials["validation_map"].isna()])


def test_an_unknown_setting_is_refused(params):
    with pytest.raises(StudyError, match="nonesuch"):
        changed(params, {"losses.dsh": {"nonesuch": 1.0}})
    with pytest.raises(StudyError, match="rounds"):
        changed(params, {"training.hash_layer": {"rounds": 0}})
