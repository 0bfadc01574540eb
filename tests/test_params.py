"""Settings: the file as committed is valid, every key is explained, and each fault names file, key and what is allowed."""

import re

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Options, load_params
from bcdh_lib.study import find_root

PATH = find_root() / "params.yaml"


def test_the_committed_settings_are_valid_and_explained():
    params = load_params(PATH)
    assert params.training.runs[0].name == "binary_constrained-16"
    bare = [line for line in PATH.read_text().splitlines() if re.match(r" +[a-z_]+:", line) and "#" not in line]
    assert [line.strip() for line in bare if not line.rstrip().endswith(":")] == []


def test_changes_are_laid_over_and_nothing_else_moves():
    changed = load_params(PATH, {"pairs": {"min_shared": 0.3}})
    assert changed.pairs.min_shared == 0.3
    assert changed.model_copy(update={"pairs": load_params(PATH).pairs}) == load_params(PATH)


def test_options_of_retrieval_are_off_where_a_study_from_before_them_does_not_name_them(tmp_path):
    lines = [line for line in PATH.read_text().splitlines() if not re.match(r"  (scales|query_exp|database_aug)", line)]
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    assert load_params(tmp_path / "params.yaml") == load_params(PATH)
    assert Options.model_validate(load_params(PATH).retrieval.model_dump(include=set(Options.model_fields))) == Options()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": {"min_shard": 0.3}}, r"pairs\.min_shard: unknown key; known here: source, database, min_shared"),
        ({"pear": {}}, r"pear: unknown key; known here: run, photos"),
        ({"run": {"threads": "two"}}, r"run\.threads: .*integer.*'two'"),
        ({"run": {"threads": True}}, r"run\.threads: .*integer"),
        ({"pairs": {"min_shared": 1.5}}, r"pairs\.min_shared: .*less than or equal to 1.*1\.5"),
        ({"photos": {"source": "flickr"}}, r"photos\.source: .*'rendered' or 'folder'"),
        ({"photos": {"source": "folder"}}, r"name your photos' path in photos\.folder"),
        ({"reconstruction": {"candidates": "codes"}}, r"name a checkpoint of another study in reconstruction\.checkpoint"),
        ({"training": {"runs": [{"method": "dsh", "bits": 9}]}}, r"training\.runs\.0\.bits: .*multiple of 8"),
        ({"training": {"runs": [{"method": "dsh", "bits": None}]}}, r"bits is null for the float parent"),
        (
            {"training": {"runs": [{"method": "magic", "bits": 8}]}},
            r"magic has no settings under losses; known: float, bin",
        ),
        ({"losses": {"magic": {}}}, r"losses\.magic: unknown; known: binary_constrained"),
        ({"losses": {"dsh": {"alpha": 1.0}}}, r"losses\.dsh\.alpha: .*settings of this loss: quantization_weight"),
        ({"retrieval": {"scales": []}}, r"retrieval\.scales: .*at least 1"),
        ({"retrieval": {"scales": [1.0, 0.0]}}, r"retrieval\.scales\.1: .*greater than 0"),
        ({"retrieval": {"query_expansion": {"neighbours": 5}}}, r"retrieval\.query_expansion\.alpha: is missing"),
        ({"retrieval": {"query_expansion": {"neighbours": 5, "alpha": float("inf")}}}, r"expansion\.alpha: .*finite"),
        ({"retrieval": {"database_augmentation": {"neighbors": 5}}}, r"retrieval\.database_augmentation\.neigh"),
        ({"run": None}, r"run: "),
    ],
)
def test_a_fault_is_named(changes, message):
    with pytest.raises(StudyError, match=message) as raised:
        load_params(PATH, changes)
    assert str(PATH) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"- a", b"a: [", b"\xff\xfe\x00", b"run: {seed: 1}", b"run: 2020-99-99", b"[" * 10**5])
def test_a_broken_file_is_named(content, tmp_path):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(StudyError, match=r"params\.yaml: "):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(StudyError, match="cannot be read"):
        load_params(tmp_path / "none.yaml")


def test_a_fault_is_a_line_whatever_the_file_holds(tmp_path):
    """Ten lists, each ten times the one before: written out, the value alone would fill the memory."""
    laughs = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11))]
    text = PATH.read_text().replace("seed: 7 ", "seed: *a10 ", 1)
    (tmp_path / "params.yaml").write_text("\n".join([*laughs, text, '"odd\\nkey": 1']))
    with pytest.raises(StudyError, match=r"run\.seed: Input should be a valid integer, got \[\[") as caught:
        load_params(tmp_path / "params.yaml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(tmp_path)) for line in lines)
    assert max(map(len, lines)) < 1000
