"""Ground truth files: what does not hang together, numpy in them, and a pickle that wants to run something."""

import os
import pickle

import numpy as np
import pytest

from bcdh_lib.retrieval.benchmarks.gnd import read_gnd
from bcdh_lib.retrieval.benchmarks.revisited import RevisitedAnswers
from tests.helpers import refused

from .conftest import revisited_truth


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


def saved(tmp_path, content):
    file = tmp_path / "gnd_roxford5k.pkl"
    file.write_bytes(pickle.dumps(content))
    return file


def with_answers(**changes):
    truth = revisited_truth()
    truth["gnd"][1] |= changes
    return truth


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "valid dictionary"),
        (revisited_truth() | {"imlist": []}, "imlist: List should have at least 1 item"),
        (revisited_truth() | {"imlist": ["a", "b", "c", "a"]}, "imlist: a name repeats"),
        (revisited_truth() | {"qimlist": ["q", "q"]}, "qimlist: a name repeats"),
        (revisited_truth() | {"qimlist": ["q"]}, "qimlist holds 1 queries, gnd 2"),
        (with_answers(hard=[4]), r"gnd\.1\.hard: 4 is beyond imlist, which holds 4 names"),
        (with_answers(hard=[-1]), r"gnd\.1\.hard\.0: Input should be greater than or equal to 0"),
        (with_answers(hard=[True]), r"gnd\.1\.hard\.0: Input should be a valid integer"),
        (with_answers(junk=3), r"gnd\.1\.junk: Input should be a valid list"),
        (with_answers(bbx=[1, 2, 3]), r"gnd\.1\.bbx: List should have at least 4 items"),
        (with_answers(bbx=[0, 0, float("nan"), 1]), r"gnd\.1\.bbx\.2: Input should be a finite number"),
        (with_answers(bbx=[5, 0, 5, 1]), r"gnd\.1: the box 5\.0 0\.0 5\.0 1\.0 is empty"),
        (with_answers(bbx=np.array([0.0, 0.0, 20.0, 10.0])), r"it asks for numpy\S*; only plain containers"),
        (with_answers(bbx=[np.float64(0), np.float64(0), np.float64(20), 10]), r"it asks for numpy\S*; only plain containers"),
    ],
)
def test_another_form_is_told_in_a_line(tmp_path, content, message):
    with refused(rf"gnd_roxford5k\.pkl: .*{message}.*; put the published gnd_roxford5k\.pkl there"):
        read_gnd(saved(tmp_path, content), RevisitedAnswers)


@pytest.mark.parametrize("content", [Malicious(), with_answers(bbx=Malicious()), {"imlist": [Malicious()]}])
def test_a_malicious_file_raises_and_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    file = saved(tmp_path, content)
    with refused(r"gnd_roxford5k\.pkl: is not a pickle of plain data .*system"):
        read_gnd(file, RevisitedAnswers)
    assert not (tmp_path / "ran").exists()
