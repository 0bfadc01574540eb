"""params.yaml: typed, complete, and every fault named with its file and key."""

import subprocess
import sys

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.report.inputs import write_inputs
from bcdh_lib.study import Study, find_root

PATH = find_root() / "params.yaml"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"pairs": {"min_shard": 0.3}}, "pairs.min_shard"),
        ({"run": {"threads": "two"}}, "run.threads"),
        ({"run": {"threads": True}}, "run.threads"),
        ({"pairs": {"min_shared": 1.5}}, "pairs.min_shared"),
        ({"training": {"runs": [{"method": "dsh", "bits": 9}]}}, "training.runs.0.bits"),
        ({"training": {"runs": [{"method": "dsh", "bits": None}]}}, "training.runs.0: bits"),
        ({"training": {"float_baseline": {"margin": 0}}}, "training.float_baseline.margin"),
        ({"training": {"float_baseline": {"learning_rate": float("inf")}}}, "training.float_baseline.learning_rate"),
    ],
)
def test_a_fault_is_named(changes, key):
    with pytest.raises(StudyError, match=rf"{PATH}: {key}"):
        load_params(PATH, changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"photos": {"source": "camera"}}, "photos.source.*camera.*folder, rendered"),
        ({"pairs": {"source": "camera"}}, "pairs.source"),
        ({"network": {"backbone": "vgg17"}}, "network.backbone"),
        ({"losses": {"dsh": {"margin": 1}}}, "losses.dsh.margin"),
        ({"training": {"runs": [{"method": "hash", "bits": 8}]}}, "training.runs"),
        (
            {"retrieval": {"benchmarks": ["roxford5k_soft"]}},
            "retrieval.benchmarks: roxford5k_soft is unknown; known: ",
        ),
        ({"retrieval": {"benchmarks": ["oxford5k"]}}, "oxford5k: is not there"),
        ({"retrieval": {"own_benchmarks": {"town": "map"}}}, "retrieval.own_benchmarks.town"),
        ({"retrieval": {"own_benchmarks": {"oxford5k": "holidays"}}}, "retrieval.own_benchmarks.oxford5k"),
        ({"retrieval": {"own_benchmarks": {"../town": "holidays"}}}, "retrieval.own_benchmarks.../town"),
    ],
)
def test_what_registries_know_is_checked_before_the_first_stage(changes, key, tmp_path):
    write_inputs(Study(tmp_path, load_params(PATH)))
    with pytest.raises(StudyError, match=key):
        write_inputs(Study(tmp_path, load_params(PATH, changes)))


AGAIN = """
import sys
from pathlib import Path
from bcdh_lib.params import load_params
from bcdh_lib.report.inputs import write_inputs
from bcdh_lib.study import Study
write_inputs(Study(Path(sys.argv[1]), load_params(Path("params.yaml"))))
assert not {"torch", "nbformat"} & set(sys.modules)
"""


def test_settings_that_were_checked_are_not_checked_again(tmp_path):
    """So that a `make repro` without work imports nothing that takes seconds."""
    write_inputs(Study(tmp_path, load_params(PATH)))
    subprocess.run([sys.executable, "-c", AGAIN, tmp_path], cwd=PATH.parent, check=True)


@pytest.mark.parametrize("content", [b"", b"- a", b"a: [", b"\xff\xfe\x00", b"run: {seed: 1}", b"run: 2020-99-99", b"[" * 10**5])
def test_a_broken_file_is_named(content, tmp_path):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(StudyError, match=r"params\.yaml: "):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(StudyError):
        load_params(tmp_path / "none.yaml")


def test_a_fault_is_a_line_whatever_the_file_holds(tmp_path):
    """Ten lists, each ten times the one before: written out, the value alone would fill the memory."""
    laughs = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11))]
    text = PATH.read_text().replace("seed: 7 ", "seed: *a10 ", 1)
    (tmp_path / "params.yaml").write_text("\n".join([*laughs, text, '"odd\\nkey": 1']))
    with pytest.raises(StudyError) as caught:
        load_params(tmp_path / "params.yaml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(tmp_path)) and len(line) < 500 for line in lines)
