"""Which options are scored, and that the plain figures know nothing of them."""

import re

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.comparison.scores import score_all, table_of
from bcdh_lib.core.codes import unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_array
from bcdh_lib.params import Expansion, Options
from bcdh_lib.retrieval.benchmarks import Benchmark, Query, read_benchmark
from bcdh_lib.retrieval.options import TOGETHER, alone_and_together, option_summary, score_options, table_of_options
from bcdh_lib.retrieval.scales import AT_SCALES
from bcdh_lib.retrieval.score import System, load_codes, systems
from bcdh_lib.study import Study

FIVE = Expansion(neighbours=5, alpha=3.0)
FILES = ("map.csv", "scores.json", "curves.csv", "queries.parquet")


def with_options(study, **options):
    retrieval = study.params.retrieval.model_copy(update=options)
    return Study(study.root, study.params.model_copy(update={"retrieval": retrieval}))


def test_each_alone_and_all_together():
    assert alone_and_together(Options()) == {}
    assert alone_and_together(Options(scales=[1.0])) == {}
    assert alone_and_together(Options(query_expansion=FIVE)) == {"query_expansion": Options(query_expansion=FIVE)}
    both = Options(scales=[1.0, 0.5], database_augmentation=FIVE)
    assert alone_and_together(both) == {
        "scales": Options(scales=[1.0, 0.5]),
        "database_augmentation": Options(database_augmentation=FIVE),
        TOGETHER: both,
    }


def test_the_plain_figures_know_nothing_of_them(scored_study):
    """Byte for byte; off, the table is its heading."""
    reports = scored_study.reports
    summary = score_all(scored_study)
    plain = {name: (reports / name).read_bytes() for name in FILES}
    assert score_options(scored_study).empty
    assert re.fullmatch(r"benchmark,method,bits,option,map,[a-z0-9_,]+,empty\n", (reports / "options.csv").read_text())
    assert table_of_options(score_options(scored_study), summary) is None

    on = with_options(scored_study, query_expansion=FIVE, database_augmentation=FIVE)
    score_all(on)
    options = score_options(on)
    assert {name: (reports / name).read_bytes() for name in FILES} == plain
    written = pd.read_csv(reports / "options.csv")
    assert len(written) == len(options) == 3 * len(systems(on))
    assert written["option"].unique().tolist() == ["query_expansion", "database_augmentation", TOGETHER]
    bits, option = written["bits"].notna(), written["option"]
    assert (written["recall_in_radius"].notna() == (bits & (option == "database_augmentation"))).all()
    shown = table_of_options(options, summary)
    assert shown["plain"].equals(table_of(summary))
    assert shown.columns.get_level_values(0).tolist() == ["plain", "query_expansion", "database_augmentation", TOGETHER]
    score_options(scored_study)


def test_a_score_equals_a_slow_ranking(scored_study):
    """One neighbour, alpha 0: the query is the mean of itself and its nearest photos, ranked among real distances."""
    system = next(system for system in systems(scored_study) if system.bits == 16)
    benchmark = read_benchmark(scored_study, "rendered_oxford")
    codes = load_codes(scored_study, benchmark, system)
    options = Options(query_expansion=Expansion(neighbours=1, alpha=0.0))
    row = option_summary(scored_study, benchmark, system, {"": codes}, options).to_dict("records")[0]
    queries, database = (unpack(each).astype(float) for each in codes)
    precisions = []
    for query, code in zip(benchmark.queries, queries, strict=True):
        alike = database @ code
        expanded = (code + database[alike == alike.max()].mean(0)) / 2
        distance = (16 - database @ expanded) / 2
        keep = np.array([name not in query.junk for name in benchmark.photos])
        hits = np.array([name in query.positives for name in benchmark.photos])
        if not query.positives - query.junk:
            continue
        precisions.append(expected_at_1(distance[keep], hits[keep]))
    assert row["p_at_1"] == pytest.approx(np.mean(precisions))


def expected_at_1(distance, hits):
    return hits[np.isclose(distance, distance.min(), atol=1e-9)].mean()


def test_a_query_that_is_ignored_is_not_there(scored_study, tmp_path):
    """On a benchmark of Holidays' form: as if its photo were not in the database, for every query."""
    random = np.random.default_rng(8)
    names = [f"{number}" for number in range(12)]
    photos = {name: tmp_path / name for name in names}
    queries = [Query(name, name, None, frozenset(names[i + 1 : i + 4]), frozenset({name})) for i, name in enumerate(names[:6])]
    benchmark, system = Benchmark("made_up", photos, queries), System("dsh", 8)
    assert benchmark.ignored_rows().tolist() == list(range(6))
    codes = random.integers(0, 256, (12, 1), np.uint8)
    options = Options(query_expansion=FIVE, database_augmentation=Expansion(neighbours=2, alpha=1.0))
    found = option_summary(scored_study, benchmark, system, {"": (codes[:6], codes)}, options).set_index("option")["map"]
    alone = []
    for row, query in enumerate(queries):
        others = {name: path for name, path in photos.items() if name != query.name}
        one = Benchmark("one", others, [Query("q", "q", None, query.positives, frozenset())], {"q": tmp_path})
        assert one.ignored_rows().tolist() == [-1]
        alone.append(option_summary(scored_study, one, system, {"": (codes[[row]], np.delete(codes, row, 0))}, options))
    assert pd.concat(alone).groupby("option")["map"].mean().to_dict() == pytest.approx(found.to_dict())


def test_codes_of_several_scales_lie_apart(scored_study):
    study = with_options(scored_study, scales=[1.0, 0.5])
    with pytest.raises(StudyError, match=r"at_scales/.*queries\.npy: cannot be read"):
        score_options(study)
    for system in systems(study):
        for part in ("queries", "database"):
            array = np.load(study.codes / f"rendered_oxford/{system.name}.{part}.npy")
            write_array(study.codes / f"rendered_oxford/{AT_SCALES}/{system.name}.{part}.npy", array)
    plain = score_all(study)
    assert score_options(study)["map"].tolist() == pytest.approx(plain["map"].tolist(), abs=1e-12)
    score_options(scored_study)
