"""The comparison on a made-up study: killed and gone on, shared, refused where it is another's, summarised by hand."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from bcdh_lib.comparison import from_parent, matrix, outputs, tuning, untrained
from bcdh_lib.comparison.cells import read_cells
from bcdh_lib.comparison.from_parent import FromParent, started_from_parent
from bcdh_lib.comparison.matrix import Plan, load_plan, run_study, units_of
from bcdh_lib.comparison.outputs import Kept, OfPhotos
from bcdh_lib.comparison.summary import against
from bcdh_lib.comparison.tuning import Share, configured
from bcdh_lib.comparison.untrained import CODERS, sift_vectors
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.benchmarks import Benchmark, Query
from bcdh_lib.study import Study, find_root
from bcdh_lib.training.network import HashNetwork, load_checkpoint
from bcdh_lib.training.train import train_run
from bcdh_lib.training.training_set import encode_kept, settle

HEAD = {"low": 1e-4, "high": 1e-3, "scale": "log"}
PLAN = Plan.model_validate(
    {
        "methods": ["binary_constrained", "dsh"],
        "bits": [8],
        "seeds": [1, 2],
        "words": {"sift_vlad": 2, "sift_bow": 8},
        "tuning": {
            "configurations": 2,
            "rounds": 1,
            "seed": 5,
            "bits": 8,
            "seeds": [3],
            "ranges": {
                "float": {"margin": {"low": 0.5, "high": 1.0, "scale": "linear"}},
                "binary_constrained": {"head_learning_rate": HEAD},
                "dsh": {"head_learning_rate": HEAD},
            },
        },
        "from_parent": {"seeds": [2]},
        "ablations": {
            "bits": 8,
            "seeds": [1],
            "changes": {"exact": {"settings": {"form": "exact"}}, "half": {"supply": {"share": 0.5}}},
        },
    }
)
FEWER = {"methods": ["dsh"], "seeds": [1], "tuning": PLAN.tuning.model_copy(update={"configurations": 1})}
FEWER |= {"from_parent": None, "ablations": None}
SMALL = PLAN.model_copy(update=FEWER)
TRIALS, CELLS = 3 * 2, 2 * (1 + 2 * 2 + len(matrix.SHALLOW) + sum(1 + len(coders) for coders in CODERS.values()))
ABLATIONS, FROM_PARENT = 3, 2
TABLES = {
    *("queries.parquet", "summary.csv", "mean.csv", "against.csv", "recentring.csv", "curves.csv", "bits.csv", "history.csv"),
    *("ablation_queries.parquet", "ablations.csv", "ablations_bits.csv"),
    *(f"from_parent{name}" for name in ("_queries.parquet", ".csv", "_summary.csv", "_against.csv", "_history.csv")),
    *("trials.csv", "chosen.json"),
}
TIMED = {"log.csv", "minutes.json", "provenance.json"}


def make_study(root, params):
    """A study folder whose tables and benchmark photos are made-up bytes: only what they are digested for."""
    changes = {"retrieval": params.retrieval.model_copy(update={"benchmarks": ["made_up"]})}
    changes["training"] = params.training.model_copy(update={"rounds": 1})
    study = Study(root, params.model_copy(update=changes))
    names = [study.benchmarks / f"made_up/{number}.jpg" for number in range(24)]
    for path in [study.pairs / "members.parquet", study.pairs / "pairs.parquet", study.photos / "photos.parquet", *names]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    return study


def fill_in(training_set):
    """What matrix reads: the made-up training set, and its photos as a benchmark, one query a group, opened as true ones are."""

    def read_benchmarks(study):
        (study.benchmarks / "made_up/0.jpg").read_bytes()
        photos = {str(number): study.benchmarks / f"made_up/{number}.jpg" for number in range(24)}
        groups = [frozenset(str(4 * group + place) for place in range(1, 4)) for group in range(6)]
        queries = [Query(f"q{g}", str(4 * g), None, names, frozenset([str(4 * g)])) for g, names in enumerate(groups)]
        return [Benchmark("made_up", photos, queries)]

    def keep_benchmarks(study, benchmarks):
        (study.benchmarks / "made_up/0.jpg").read_bytes()
        kept = training_set.activations[:, :1]
        return [Kept(each, {"database": kept, "queries": kept[::4]}) for each in benchmarks]

    def read_descriptors(study, benchmarks):
        (study.benchmarks / "made_up/0.jpg").read_bytes()
        descriptors = made_up_descriptors()
        training = [each for each, train in zip(descriptors, training_set.train, strict=True) if train]
        return OfPhotos(training, [{"database": descriptors, "queries": descriptors[::4]} for _ in benchmarks])

    return {
        "load_training_set": lambda study: training_set,
        "read_benchmarks": read_benchmarks,
        "keep_benchmarks": keep_benchmarks,
        "read_descriptors": read_descriptors,
    }


def made_up_descriptors():
    """Of 24 photos, the first without any: four of one group differ from their common ones by noise."""
    random = np.random.default_rng(0)
    common = random.integers(20, 200, (6, 6, 128))
    return [(common[n // 4] + random.integers(0, 20, (6, 128)))[: 6 * (n > 0)].astype(np.uint8) for n in range(24)]


def quick_run(training_set, params, run, work, parent=None):
    """Training that takes no time: what it learns are its bits and its seed, and its parent's."""
    facts = {"bits": run.bits, "seed": params.run.seed, "parent": parent and parent.facts}
    assert (parent is not None) == (params.network.start == "parent")
    for ending in (".safetensors", ".json"):
        (work / f"best{ending}").write_text(json.dumps(facts))
    return [{"round": 1, "validation_map": params.training.head_learning_rate}]


class QuickNetwork:
    """Outputs that are random projections of the mean activations, drawn with the seed that was learned."""

    def __init__(self, path):
        self.facts = json.loads(path.read_text())

    def to(self, device):
        return self

    def encode(self, kept):
        seeds = [self.facts["seed"], *([self.facts["parent"]["seed"]] if self.facts["parent"] else [])]
        projection = np.random.default_rng(seeds).normal(size=(192, self.facts["bits"] or 32))
        outputs = kept[:, 0].mean((2, 3)).numpy().astype(np.float64) @ projection
        scale = 1 if self.facts["bits"] else np.linalg.norm(outputs, axis=1, keepdims=True)
        return torch.from_numpy((outputs / scale).astype(np.float32))


def hurry(put):
    """Put quick training in the place of training, by `put(module, name, function)`."""
    put(tuning, "train_run", quick_run)
    put(matrix, "train_run", quick_run)
    put(matrix, "load_checkpoint", lambda path: (QuickNetwork(path), {}))
    put(from_parent, "load_checkpoint", lambda path: (QuickNetwork(path), {}))
    put(matrix, "statistics_of", lambda network, outputs, training_set, params: {"frozen_bits": float(params.run.seed)})
    put(untrained, "settle", lambda network, training_set: None)
    put(outputs, "encode_kept", lambda network, kept: getattr(network, "encode", partial(encode_kept, network))(kept))


@pytest.fixture
def true_study(tmp_path, training_set, params, monkeypatch):
    for name, function in fill_in(training_set).items():
        monkeypatch.setattr(matrix, name, function)
    return make_study(tmp_path / "study", params)


@pytest.fixture
def study(true_study, monkeypatch):
    """With training that takes no time."""
    hurry(monkeypatch.setattr)
    return true_study


@pytest.fixture
def finished(study, tmp_path_factory):
    """A finished comparison, run once and copied to each test."""
    original = tmp_path_factory.getbasetemp() / "finished"
    if not original.is_dir():
        run_study(study, PLAN)
        shutil.copytree(study.root, original)
    shutil.rmtree(study.root)
    shutil.copytree(original, study.root)
    return study


def results(study):
    """Every file of the comparison by name, and its bytes, but those that hold times."""
    folder = study.reports / "study"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in TIMED]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_finished_comparison(finished, monkeypatch):
    """A file a trial and a cell, tables, no work left; every cell's rows bear its name; nothing is done again."""
    files = results(finished)
    assert len([name for name in files if name.startswith("trials/")]) == TRIALS
    assert len([name for name in files if name.startswith("cells/")]) == CELLS
    assert len([name for name in files if name.startswith("ablations/")]) == ABLATIONS
    assert len([name for name in files if name.startswith("from_parent/")]) == FROM_PARENT
    assert {name for name in files if "/" not in name} == TABLES
    assert {path.name for path in (finished.reports / "study").iterdir() if path.is_file()} == TABLES | TIMED
    assert {path.name for path in (finished.root / "work/study").iterdir()} == {"networks"}
    networks = {path.name for path in (finished.root / "work/study/networks").glob("*.safetensors")}
    assert networks == {f"{name}-{seed}.safetensors" for name in ("float", "dsh-8", "binary_constrained-8") for seed in (1, 2)}
    for path in (finished.reports / "study/cells").iterdir():
        rows = pq.read_table(path).to_pandas()
        bits = "" if rows["bits"].isna().all() else f"-{int(rows['bits'].iloc[0])}"
        assert f"{rows['method'].iloc[0]}{bits}-{rows['seed'].iloc[0]}" == path.stem
        assert rows["query"].tolist() == [f"q{group}" for group in range(6)]
    seeds = read_cells(finished)[0].groupby("method")["seed"].unique().map(list)
    assert all(each == [1, 2] for each in seeds)
    for nothing in ("load_training_set", "keep_benchmarks", "read_descriptors"):
        monkeypatch.setattr(matrix, nothing, lambda *_: pytest.fail("work was done again"))
    run_study(finished, PLAN)
    assert results(finished) == files


@pytest.mark.parametrize(("module", "saves"), [(tuning, 1), (tuning, 4), (matrix, 3)])
def test_stopped_anywhere_and_gone_on(study, finished, module, saves, monkeypatch):
    """Stopped before the n-th training ends, in tuning or after: what was finished stays, only what lacks is trained."""
    whole, trained = results(finished), []
    for folder in (finished.reports, finished.root / "work"):
        shutil.rmtree(folder)
    originals = {each: each.train_run for each in (tuning, matrix)}

    def counted(each, stop):
        def train_run(training_set, params, run, work, parent=None):
            history = originals[each](training_set, params, run, work, parent)
            if stop and each is module and len(trained) + 1 == saves:
                raise KeyboardInterrupt
            trained.append((run.name, params.run.seed, work.name))
            return history

        return train_run

    if module is matrix:
        saves += TRIALS
    for stop in (True, False):
        for each in (tuning, matrix):
            monkeypatch.setattr(each, "train_run", counted(each, stop))
        if stop:
            with pytest.raises(KeyboardInterrupt):
                run_study(study, PLAN)
            assert len(trained) == saves - 1
        else:
            run_study(study, PLAN)
    assert results(study) == whole
    assert len(trained) == len(set(trained)) == TRIALS + 2 * 3 + ABLATIONS + FROM_PARENT


HERE = os.path.dirname(__file__)
SCRIPT = f"""
import sys
sys.path[:0] = [{HERE!r}]
from pathlib import Path
import test_matrix
from conftest import params, training_set
params = params.__wrapped__()
for name, function in test_matrix.fill_in(training_set.__wrapped__()).items():
    setattr(test_matrix.matrix, name, function)
test_matrix.hurry(setattr)
test_matrix.run_study(test_matrix.make_study(Path(sys.argv[1]), params), test_matrix.PLAN)
"""


def test_killed_and_started_again(study, finished, tmp_path):
    """SIGKILL as soon as the first cell is there, whatever is being written then."""
    whole = results(finished)
    shutil.rmtree(study.reports)
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(study.root)], cwd=HERE, stderr=subprocess.DEVNULL)
    cells = study.reports / "study/cells"
    while not list(cells.glob("*.parquet")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(list(cells.glob("*.parquet"))) < CELLS
    run_study(study, PLAN)
    assert {name: content for name, content in results(study).items() if not name.endswith(".part")} == whole


def test_a_cell_is_its_run_trained_coded_and_scored(true_study, training_set, tmp_path):
    """True training: the rows of a cell against its run trained by itself, ranked by a plain sort, ties at half.

    And true vectors of the pretrained network: each query's nearest by a plain sort of distances.
    """
    run_study(true_study, SMALL, only=["dsh", "whitened"])
    chosen = json.loads((true_study.reports / "study/chosen.json").read_text())["dsh"]["configuration"]
    params = configured(true_study.params, "dsh", 8, 1, chosen)
    assert params.training.head_learning_rate == chosen["head_learning_rate"]
    train_run(matrix.load_training_set(true_study), params, params.training.runs[0], tmp_path)
    network, _ = load_checkpoint(tmp_path / "best.safetensors")
    signs = np.where(encode_kept(network, training_set.activations).numpy() >= 0, 1, -1)
    rows = pq.read_table(true_study.reports / "study/cells/dsh-8-1.parquet").to_pandas()
    for place, nearest in enumerate(rows["p_at_1"]):
        distances = (signs[4 * place] != signs).sum(1)
        distances[4 * place] = 99
        first = np.flatnonzero(distances == distances.min())
        assert nearest == pytest.approx(np.mean(first // 4 == place))
    network = HashNetwork(true_study.params.network, bits=None).eval()
    settle(network, training_set)
    vectors = encode_kept(network, training_set.activations).numpy()
    rows = pq.read_table(true_study.reports / "study/cells/whitened-1.parquet").to_pandas()
    for place, nearest in enumerate(rows["p_at_1"]):
        distances = np.linalg.norm(vectors[4 * place] - vectors, axis=1)
        distances[4 * place] = 99
        assert nearest == (distances.argmin() // 4 == place)


def test_a_cell_started_from_the_parent_is_its_run_from_the_kept_network(true_study, training_set, tmp_path):
    """True training: the history of the cell is that of the run trained by itself; without the network it says what to do."""
    plan = SMALL.model_copy(update={"from_parent": FromParent(seeds=[1])})
    run_study(true_study, plan)
    chosen = json.loads((true_study.reports / "study/chosen.json").read_text())
    params = configured(started_from_parent(true_study.params), "dsh", 8, 1, chosen["dsh"]["configuration"])
    parent, facts = load_checkpoint(true_study.root / "work/study/networks/float-1.safetensors")
    assert facts["method"] == "float"
    history = train_run(training_set, params, params.training.runs[0], tmp_path, parent)
    _, noted = read_cells(true_study, "from_parent")
    assert [row["validation_map"] for row in noted[0]["history"]] == [row["validation_map"] for row in history]
    (true_study.root / "work/study/networks/float-1.safetensors").unlink()
    shutil.rmtree(true_study.reports / "study/from_parent")
    with pytest.raises(StudyError, match=r"float-1\.safetensors: is not there; remove .*cells/float-1\.parquet"):
        run_study(true_study, plan)


def test_no_benchmark_is_opened_before_the_last_trial_is_finished(study, monkeypatch):
    """What the interpreter itself reports of files opened, in the order of the trials."""
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" and watching else None)
    watching = True
    run_study(study, PLAN)
    watching = False
    benchmark = [place for place, name in enumerate(opened) if name.startswith(str(study.benchmarks))]
    trials = [place for place, name in enumerate(opened) if "study/trials/" in name and name.endswith(".json.part")]
    assert len(trials) == TRIALS
    assert len(benchmark) >= 24
    assert max(trials) < min(benchmark)


def test_a_collection_is_kept_once_after_a_look_at_its_photos(tmp_path, params, monkeypatch):
    """Two protocols of the same photos share their activations; a broken photo stops before any is encoded."""
    for name in "ab":
        Image.new("RGB", (40, 30), "teal").save(tmp_path / f"{name}.jpg")
    photos, query = {"a": tmp_path / "a.jpg"}, Query("b", "b", (0, 0, 20, 30), frozenset("a"), frozenset())
    protocols = [Benchmark(name, photos, [query], {"b": tmp_path / "b.jpg"}, "both") for name in ("easy", "hard")]
    easy, hard = outputs.keep_benchmarks(Study(tmp_path, params), protocols)
    assert (easy.benchmark.name, hard.benchmark.name) == ("easy", "hard")
    assert easy.parts is hard.parts
    assert {part: len(kept) for part, kept in easy.parts.items()} == {"database": 1, "queries": 1}
    (tmp_path / "b.jpg").write_bytes(b"")
    monkeypatch.setattr(outputs, "keep", lambda *_: pytest.fail("a photo was encoded"))
    with pytest.raises(StudyError, match=r"b\.jpg: cannot be read as a photo"):
        outputs.keep_benchmarks(Study(tmp_path, params), protocols)


def test_shares_end_with_the_same_files(study, finished):
    """Cells by three shares, of which each has only its part to do; the last one writes the summary."""
    whole = results(finished)
    shutil.rmtree(study.reports / "study/cells")
    shutil.rmtree(study.reports / "study/ablations")
    for name in ("summary.csv", "against.csv"):
        (study.reports / "study" / name).unlink()
    counts = []
    for number in (2, 3, 1):
        assert not (study.reports / "study/summary.csv").is_file()
        run_study(study, PLAN, share=Share(number, 3))
        counts.append(len(list((study.reports / "study/cells").iterdir())))
    assert 0 < counts[0] < counts[1] < counts[2] == CELLS
    assert results(study) == whole


def test_only_some_methods(study):
    run_study(study, PLAN, only=["lsh"])
    names = {path.stem for path in (study.reports / "study/cells").iterdir()}
    assert names == {"float-1", "float-2", "lsh-8-1", "lsh-8-2"}
    assert not (study.reports / "study/summary.csv").is_file()
    with pytest.raises(StudyError, match="--only dchh: is not among float, binary_constrained"):
        units_of(study, PLAN, ["dchh"])


def test_another_study_s_choice_takes_the_place_of_tuning(study, finished, tmp_path):
    """The same configurations give the same cells, and no trial is run; what the file lacks or holds wrongly is named."""
    choice = tmp_path / "chosen.json"
    shutil.copy(finished.reports / "study/chosen.json", choice)
    tuned = results(finished)
    shutil.rmtree(finished.reports / "study")
    plan = PLAN.model_copy(update={"chosen": str(choice)})
    run_study(study, plan)
    found = results(study)
    assert tuned.keys() - found.keys() == {name for name in tuned if name.startswith("trials")} | {"chosen.json"}
    assert all(content == tuned[name] for name, content in found.items())
    content = json.loads(choice.read_text())
    for broken, said in (
        ({**content, "dsh": {"configuration": {"quantization_weight": "much"}}}, "dsh: losses.dsh.quantization_weight: "),
        ({"float": content["float"]}, "has no configuration of binary_constrained; set chosen in study.yaml to null to tune"),
        ([], r"holds no configurations \("),
    ):
        choice.write_text(json.dumps(broken))
        with pytest.raises(tuning.StudyError, match=f"chosen.json: {said}"):
            run_study(study, plan)


def test_only_what_needs_no_training(study, monkeypatch):
    """Nothing is tuned or trained; each kind of vector comes with the codes that are asked for, and is not coded else."""
    for module in (tuning, matrix):
        monkeypatch.setattr(module, "train_run", lambda *_: pytest.fail("a network was trained"))
    run_study(study, PLAN, only=["pretrained", "whitened_lsh", "sift_bow_itq"])
    names = {path.stem.removesuffix("-1").removesuffix("-2") for path in (study.reports / "study/cells").iterdir()}
    assert names == {"pretrained", "whitened", "whitened_lsh-8", "sift_bow", "sift_bow_itq-8"}
    assert not (study.reports / "study/trials").is_dir()
    with pytest.raises(StudyError, match=r"--only sift_vlad_lsh: is not among .*, sift_vlad_itq"):
        units_of(study, PLAN, ["sift_vlad_lsh"])


def test_sift_alone_needs_no_network(study, monkeypatch):
    """Its rows against a plain sort of distances; the photo without features, the first group's query, is as far from all."""
    for nothing in ("load_training_set", "keep_benchmarks"):
        monkeypatch.setattr(matrix, nothing, lambda *_: pytest.fail("a network was asked"))
    run_study(study, PLAN, only=["sift_vlad"])
    descriptors = made_up_descriptors()
    vectors = sift_vectors("sift_vlad", OfPhotos(descriptors[:16], [{"all": descriptors}]), 2, seed=2).parts[0]["all"]
    rows = pq.read_table(study.reports / "study/cells/sift_vlad-2.parquet").to_pandas()
    assert rows["bits"].isna().all()
    assert rows["p_at_1"].iloc[0] == pytest.approx(3 / 23)
    for group in range(1, 6):
        distances = np.linalg.norm(vectors[4 * group] - vectors, axis=1)
        distances[4 * group] = 99
        assert rows["p_at_1"].iloc[group] == (distances.argmin() // 4 == group)


def test_untrained_vectors_are_alike_for_all_seeds_but_sift_s_words_and_itq_are_drawn(finished):
    cells, _ = read_cells(finished)
    ap = {key: rows["ap"].tolist() for key, rows in cells.groupby(["method", "seed"])}
    for method in ("pretrained", "whitened", "pretrained_pcah", "whitened_sh"):
        assert ap[method, 1] == ap[method, 2]
    for method in ("pretrained_lsh", "whitened_itq", "sift_bow"):
        assert ap[method, 1] != ap[method, 2]


def test_ours_is_compared_with_untrained_codes_but_with_no_real_vectors(finished):
    compared = set(against(read_cells(finished)[0])["method"])
    assert {"itq", "pretrained_itq", "whitened_uh_bdnn", "sift_vlad_itq", "sift_bow_itq"} <= compared
    assert not {"float", *CODERS} & compared
    assert set(CODERS) <= set(pd.read_csv(finished.reports / "study/summary.csv")["method"])


def test_untrained_cells_of_other_settings_are_refused(finished):
    words = PLAN.words.model_copy(update={"sift_bow": 9})
    with pytest.raises(StudyError, match=r"cells/sift_bow-1.parquet: was made with other vectors; .* remove"):
        run_study(finished, PLAN.model_copy(update={"words": words}), only=["sift_bow"])
    network = finished.params.network.model_copy(update={"gem_power": 2.0})
    with pytest.raises(StudyError, match=r"cells/whitened-1.parquet: was made with other vectors; .* remove"):
        run_study(Study(finished.root, finished.params.model_copy(update={"network": network})), PLAN, only=["whitened_itq"])


def test_cells_of_other_settings_or_data_are_refused(finished):
    photo = finished.benchmarks / "made_up/3.jpg"
    photo.write_bytes(b"another photo")
    with pytest.raises(StudyError, match=r"cells/float-1.parquet: was made with other benchmarks; .* remove"):
        run_study(finished, PLAN)
    photo.write_bytes(photo.name.encode())
    slower = finished.params.training.model_copy(update={"weight_decay": 0.5})
    with pytest.raises(StudyError, match=r"trials/float-00-3.json: was made with other training; .* remove"):
        run_study(Study(finished.root, finished.params.model_copy(update={"training": slower})), PLAN)
    (finished.reports / "study/cells/dsh-8-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=r"dsh-8-1.parquet: is no cell"):
        run_study(finished, PLAN)
    with pytest.raises(StudyError, match=r"dsh-8-1.parquet: is an unreadable cell"):
        read_cells(finished)


def test_what_lacks_is_named_with_its_mend(study, tmp_path):
    shutil.rmtree(study.pairs)
    with pytest.raises(StudyError, match=r"members.parquet: is not there; make it first with: make repro"):
        run_study(study, PLAN)
    with pytest.raises(StudyError, match=r"cells: holds no cell; run: make study"):
        read_cells(study)
    content = yaml.safe_load((find_root() / "study.yaml").read_text())
    for change, said in (
        ({"methods": ["dch", "dchh"]}, "methods: dchh is unknown; known: binary_constrained"),
        ({"seeds": [1, 101]}, "tuning.seeds: must be none of seeds"),
        ({"bits": [12]}, "bits.0: .*multiple of 8"),
    ):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content | change))
        with pytest.raises(StudyError, match=rf"study.yaml: {said}"):
            load_plan(tmp_path / "study.yaml")
    with pytest.raises(StudyError, match=r"absent.yaml: cannot be read"):
        load_plan(tmp_path / "absent.yaml")


def test_the_command_line(finished, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "open_study", lambda: finished)
    assert matrix.main(["--summary"]) == 0
    assert "binary_constrained against each:" in capsys.readouterr().out
    assert matrix.main([]) == 1
    assert "study.yaml: cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        matrix.main(["--share", "3/2"])
    assert "must be K/N" in capsys.readouterr().err


def test_a_fault_is_one_line_in_the_terminal(study, monkeypatch, capsys):
    """As a program, where the module bears another name."""
    monkeypatch.setattr("bcdh_lib.study.open_study", lambda: study)
    monkeypatch.setattr(sys, "argv", ["matrix", "--summary"])
    with pytest.raises(SystemExit, match="1"), pytest.warns(RuntimeWarning, match=r"found in sys\.modules"):
        runpy.run_module("bcdh_lib.comparison.matrix", run_name="__main__")
    assert capsys.readouterr().err == f"{study.reports / 'study/cells'}: holds no cell; run: make study\n"
