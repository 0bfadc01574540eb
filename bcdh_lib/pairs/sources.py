"""Where pairs come from, one function a source; `make_pairs` is the pairs stage. A new source is one function and one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.pairs.covisibility import count_dissimilar, similar_pairs, split_members
from bcdh_lib.pairs.retrieval_sfm import read_published_pairs
from bcdh_lib.study import Study

Tables = tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]
"""The tables `pairs` and `members`, and how many pairs were left out, by reason."""


def _from_reconstruction(study: Study) -> Tables:
    settings = study.params.pairs
    registrations = read_table(study.reconstruction, "registrations")
    tracks = read_table(study.reconstruction, "tracks")
    pairs = similar_pairs(tracks, registrations, settings.min_shared, settings.max_scale_change)
    shares = {"validation": settings.validation_share, "test": settings.test_share}
    return pairs, split_members(registrations, pairs, shares, study.params.run.seed), {}


def _from_retrieval_sfm(study: Study) -> Tables:
    database = study.root / Path(str(study.params.pairs.database)).expanduser()
    published = read_published_pairs(database, read_table(study.photos, "photos"))
    return published.pairs, published.members, published.left_out


PAIR_SOURCES: dict[str, Callable[[Study], Tables]] = {
    "reconstruction": _from_reconstruction,
    "retrieval-SfM": _from_retrieval_sfm,
}


def make_pairs(study: Study) -> dict[str, int]:
    """The pairs stage: writes the tables `pairs` and `members` and summary.json; returns the counts of the summary."""
    pairs, members, left_out = PAIR_SOURCES[study.params.pairs.source](study)
    counts = {
        "similar_pairs": len(pairs),
        "queries": int(pairs["query_id"].nunique()),
        "dissimilar_pairs": count_dissimilar(members),
        "photos": len(members),
        "groups": int(members["group_id"].nunique()),
        **{f"{split}_groups": int(rows["group_id"].nunique()) for split, rows in members.groupby("split")},
        **{f"left out: {reason}": count for reason, count in left_out.items()},
    }
    write_table(study.pairs, "pairs", pairs)
    write_table(study.pairs, "members", members)
    write_json(study.pairs / "summary.json", counts)
    return counts
