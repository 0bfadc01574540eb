"""The pairs step: similar and dissimilar pairs of photos from the source that pairs.source names."""

from pathlib import Path
from typing import Any

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import write_table
from bcdh_lib.pairs.covisibility import count_dissimilar
from bcdh_lib.pairs.diagnostics import diagnose, truth_files
from bcdh_lib.pairs.sources import SOURCES
from bcdh_lib.study import Study, computes


def source_of(study: Study) -> Any:
    """The source that pairs.source names. Raises StudyError if there is none of this name."""
    name = study.params.pairs.source
    if name not in SOURCES:
        raise StudyError(f"params.yaml: pairs.source: {name!r} is unknown; choose one of {', '.join(SOURCES)}")
    return SOURCES[name]


def inputs(study: Study) -> list[Path]:
    """The files that the step reads. Raises StudyError."""
    return [*source_of(study)[1](study), *truth_files(study)]


@computes("pairs", inputs=inputs)
def make_pairs(study: Study) -> None:
    """Write the tables `pairs` and `members`, summary.json (their counts) and reports/diagnostics.json. Raises StudyError."""
    pairs, members, left_out = source_of(study)[0](study)
    splits = members.groupby("split")
    counts = {
        "similar_pairs": len(pairs),
        "queries": pairs["query_id"].nunique(),
        "dissimilar_pairs": count_dissimilar(members),
        "photos": len(members),
        "groups": members["group_id"].nunique(),
        **{f"{split}_groups": rows["group_id"].nunique() for split, rows in splits},
        **{f"{split}_photos": len(rows) for split, rows in splits},
        **{f"left out: {reason}": count for reason, count in left_out.items()},
    }
    write_table(study.pairs, "pairs", pairs)
    write_table(study.pairs, "members", members)
    write_json(study.pairs / "summary.json", counts)
    diagnose(study)
