"""Tuning: equal numbers, draws inside their ranges, the best of the trials chosen, no setting that a loss does not have."""

import json

import numpy as np
import pytest

from bcdh_lib.comparison import tuning as module
from bcdh_lib.comparison.matrix import load_plan
from bcdh_lib.comparison.tuning import (
    Interval,
    Share,
    Tuning,
    choose,
    configured,
    draw_configurations,
    read_trial,
    trials_of,
    tune,
    wait_for_others,
    write_trials,
)
from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.study import find_root

HEAD = {"low": 1e-4, "high": 1e-2, "scale": "log"}
RANGES = {
    "contrastive": {"head_learning_rate": HEAD, "margin": {"low": 0.4, "high": 1.4, "scale": "linear"}},
    "greedyhash": {"head_learning_rate": HEAD, "margin": {"among": [0.25, 0.5]}},
}


@pytest.fixture
def tuning():
    return Tuning.model_validate({"configurations": 3, "rounds": 1, "seed": 5, "bits": 16, "seeds": [1, 2], "ranges": RANGES})


@pytest.fixture
def measured(monkeypatch):
    """Training replaced by a validation mAP that grows with the margin, but diverges beyond 1.3; and the runs that were made."""
    runs = []

    def train_run(training_set, params, run, work):
        runs.append((run.method, params.run.seed))
        margin = params.losses[run.method]["margin"]
        if margin > 1.3:
            raise StudyError("the loss became nan")
        return [{"validation_map": 0.1}, {"validation_map": margin / 2 + params.run.seed / 100}, {"validation_map": 0.1}]

    monkeypatch.setattr(module, "train_run", train_run)
    return runs


def trial_row(method, number, seed, value):
    return {"method": method, "number": number, "configuration": {"margin": number}, "seed": seed, "validation_map": value}


def test_every_method_of_the_committed_plan_gets_as_many_valid_configurations_of_all_its_keys():
    """And one range of the hash layer's rate for all, at least 20 configurations, whose ranges are all used."""
    root = find_root()
    plan, params = load_plan(root / "study.yaml"), load_params(root / "params.yaml")
    methods = ["float", *plan.methods]
    assert set(methods) == {"float", *params.losses} == set(plan.tuning.ranges)
    trials = trials_of(plan.tuning, methods, params)  # validates every one
    counts = {method: len({json.dumps(t.configuration) for t in trials if t.method == method}) for method in methods}
    assert set(counts.values()) == {plan.tuning.configurations}
    assert plan.tuning.configurations >= 20
    assert len({str(plan.tuning.ranges[method]["head_learning_rate"]) for method in plan.methods}) == 1
    assert {trial.params.training.rounds for trial in trials} == {plan.tuning.rounds}
    for trial in trials:
        assert trial.configuration.keys() == plan.tuning.ranges[trial.method].keys()


def test_draws_stay_in_their_range_and_fill_it_evenly():
    """Half of the log draws lie below the geometric mean, half of the linear ones below the arithmetic."""
    generator = np.random.default_rng(0)
    for scale, middle in (("log", 0.1), ("linear", 5.0005)):
        drawn = np.array([Interval(low=1e-3, high=10.0, scale=scale).draw(generator) for _ in range(2000)])
        assert drawn.min() >= 1e-3
        assert drawn.max() <= 10
        assert (drawn < middle).mean() == pytest.approx(0.5, abs=0.04)


def test_a_method_s_draws_do_not_depend_on_the_others(tuning):
    alone = tuning.model_copy(update={"ranges": {"greedyhash": tuning.ranges["greedyhash"]}})
    assert draw_configurations(alone, "greedyhash") == draw_configurations(tuning, "greedyhash")
    again = tuning.model_copy(update={"seed": 6})
    assert draw_configurations(again, "greedyhash") != draw_configurations(tuning, "greedyhash")


def test_a_configuration_goes_where_its_keys_belong(params):
    made = configured(params, "dsh", 16, 3, {"head_learning_rate": 0.5, "quantization_weight": 0.25})
    assert (made.run.seed, made.training.head_learning_rate, made.losses["dsh"]["quantization_weight"]) == (3, 0.5, 0.25)
    assert [run.name for run in made.training.runs] == ["dsh-16"]
    assert made.losses["dhn"] == params.losses["dhn"]
    parent = configured(params, "float", 16, 3, {"margin": 1.25})
    assert (parent.training.runs[0].bits, parent.losses["contrastive"]["margin"]) == (None, 1.25)
    with pytest.raises(StudyError, match=r"tuning.ranges.dsh.*losses.dsh.margin"):
        configured(params, "dsh", 16, 3, {"margin": 0.5})
    with pytest.raises(StudyError, match=r"tuning\.ranges\.greedyhash"):
        configured(params, "greedyhash", 16, 3, {"margin": 2.0})


def test_chosen_by_hand():
    """Means .5, .6 and .6: the first of the equal ones; one that diverged with a seed is out, however good with the other."""
    values = [(0, 1, 0.9), (0, 2, 0.1), (1, 1, 0.6), (1, 2, 0.6), (2, 1, 0.5), (2, 2, 0.7), (3, 1, 1.0), (3, 2, None)]
    chosen = choose([trial_row("dsh", *value) for value in values])
    assert chosen == {"dsh": {"number": 1, "configuration": {"margin": 1}, "validation_map": pytest.approx(0.6)}}
    with pytest.raises(StudyError, match=r"ranges\.dsh: every configuration diverged"):
        choose([trial_row("dsh", 0, 1, None)])


def test_the_chosen_one_is_the_best_of_the_trials(tuning, study, measured):
    trials = trials_of(tuning, ["contrastive", "greedyhash"], study.params)
    tune(study, trials, Share(), lambda: None)
    assert measured == [(trial.method, trial.seed) for trial in trials]
    assert len(trials) == 2 * 3 * 2
    rows = [read_trial(study, trial) for trial in trials]
    write_trials(study, rows)
    chosen = json.loads((study.reports / "study/chosen.json").read_text())
    for method in ("contrastive", "greedyhash"):
        margins = [c["margin"] for c in draw_configurations(tuning, method) if c["margin"] <= 1.3]
        assert chosen[method]["configuration"]["margin"] == max(margins)
        assert chosen[method]["validation_map"] == pytest.approx(max(margins) / 2 + 0.015)
    assert not list((study.root / "work/study").iterdir())


def test_goes_on_after_finished_trials_and_refuses_others(tuning, study, measured):
    trials = trials_of(tuning, ["greedyhash"], study.params)
    tune(study, trials[:3], Share(), lambda: None)
    before = {path: path.read_bytes() for path in (study.reports / "study/trials").iterdir()}
    tune(study, trials, Share(), lambda: None)
    assert measured == [(trial.method, trial.seed) for trial in trials]
    assert all(path.read_bytes() == content for path, content in before.items())
    tune(study, trials, Share(), lambda: pytest.fail("the training set was loaded, with nothing to train"))
    (study.pairs / "pairs.parquet").write_bytes(b"other pairs")
    with pytest.raises(StudyError, match=r"greedyhash-00-1.json: was made with other pairs; .* remove"):
        tune(study, trials, Share(), lambda: None)


def test_shares_are_disjoint_and_complete_and_wait_for_each_other(tuning, study, measured, monkeypatch):
    trials = trials_of(tuning, ["greedyhash"], study.params)
    parts = [Share(number, 4).part(trials) for number in (1, 2, 3, 4)]
    assert sorted(trial.name for part in parts for trial in part) == sorted(trial.name for trial in trials)
    pauses = []

    def other_share(seconds):
        pauses.append(seconds)
        tune(study, parts[len(pauses)], Share(), lambda: None)

    monkeypatch.setattr(module.time, "sleep", other_share)
    tune(study, trials, Share(1, 4), lambda: None)
    assert len(pauses) == 3
    assert len(measured) == len(trials)
    wait_for_others(study, trials)
    assert len(pauses) == 3
