"""The explorer's data: by hand on a made benchmark, decoded again as the codes on disk, and a study without codes."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report import explorer
from bcdh_lib.report.explorer import explorer_files
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import BenchmarkCodes, write_system_codes
from bcdh_lib.retrieval.systems import System

CODES = {
    "queries": np.array([[0, 128]], np.uint8),
    "database": np.array([[1, 2], [3, 255]], np.uint8),
    "recentred_database": np.array([[4, 8], [15, 16]], np.uint8),
    "centred_queries": np.arange(16, dtype=np.float32)[None],
}


def explored(files):
    text = files["explorer-data.js"].decode()
    assert text.startswith("const explored = ")
    return json.loads(text.removeprefix("const explored = ").rstrip(";\n"))


@pytest.fixture
def made(study, tmp_path, monkeypatch):
    """Two protocols over the photos a and b and the query photo q, which is not in the database; codes of one system."""
    for name in "abq":
        Image.new("RGB", (400, 300), "white").save(tmp_path / f"{name}.jpg")
    photos, outside = {name: tmp_path / f"{name}.jpg" for name in "ab"}, {"q": tmp_path / "q.jpg"}

    def protocol(name, positives, junk):
        query = Query("asked", "q", (100, 30, 300, 300), frozenset(positives), frozenset(junk))
        return Benchmark(f"roxford5k_{name}", photos, [query], outside, "roxford5k")

    monkeypatch.setattr(explorer, "read_benchmarks", lambda _: [protocol("easy", "a", "b"), protocol("hard", "ba", "")])
    monkeypatch.setattr(explorer, "systems", lambda _: [System("dsh", 16), System("float", None)])
    write_system_codes(study, "roxford5k", System("dsh", 16), BenchmarkCodes(**CODES))
    return study


def test_by_hand(made):
    """Photos share one collection; real vectors are left out."""
    files = explorer_files(made)
    query = {"name": "asked", "photo": 2, "box": [0.25, 0.1, 0.5, 0.9]}
    assert explored(files) == {
        "systems": [{"name": "dsh-16", "label": "DSH", "bits": 16}],
        "collections": {
            "roxford5k": {
                "photos": ["a", "b", "q"],
                "database": 2,
                "codes": {"dsh-16": {name: base64.b64encode(rows).decode() for name, rows in CODES.items()}},
            }
        },
        "benchmarks": [
            {"label": "ROxford5k Easy", "collection": "roxford5k", "queries": [{**query, "positives": [0], "junk": [1]}]},
            {"label": "ROxford5k Hard", "collection": "roxford5k", "queries": [{**query, "positives": [0, 1], "junk": []}]},
        ],
    }
    assert sorted(files) == ["explorer-data.js", *(f"explorer/roxford5k/{number}.jpg" for number in range(3))]
    assert Image.open(io.BytesIO(files["explorer/roxford5k/2.jpg"])).size == (200, 150)


def test_thumbnails_shrink_where_there_are_many(made, monkeypatch):
    monkeypatch.setattr(explorer, "AS_MANY", 0.75)  # of 3 photos: half the side
    assert Image.open(io.BytesIO(explorer_files(made)["explorer/roxford5k/0.jpg"])).size == (100, 75)
    monkeypatch.setattr(explorer, "AS_MANY", 0.001)
    assert Image.open(io.BytesIO(explorer_files(made)["explorer/roxford5k/0.jpg"])).size == (48, 36)


def test_without_binary_codes_there_is_none_and_missing_ones_are_named(made, tmp_path, monkeypatch):
    assert explorer_files(replace(made, root=tmp_path / "elsewhere")) == {}
    (made.codes / "roxford5k/dsh-16.queries.npy").unlink()
    with pytest.raises(StudyError, match=r"dsh-16\.queries\.npy: cannot be read"):
        explorer_files(made)
    monkeypatch.setattr(explorer, "systems", lambda _: [System("float", None)])
    assert explorer_files(made) == {}
