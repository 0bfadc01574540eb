"""The tables between the steps: one parquet file each, the same columns everywhere, sorted, written atomically."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import read_json, write_bytes


@dataclass(frozen=True)
class Table:
    """The form of one table: columns with their types, the columns that sort it, and the stage that writes it."""

    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    stage: str

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(self.columns)


INT, LONG, REAL, TEXT = pa.int32(), pa.int64(), pa.float64(), pa.string()

# photo_id is the row number of photos.parquet; no step invents a second numbering.
TABLES = {
    # path: relative to the source's folder, with forward slashes; width, height: px, upright, as taken; sha256: of the file
    "photos": Table(
        {"photo_id": INT, "path": TEXT, "width": INT, "height": INT, "sha256": TEXT, "source": TEXT}, ("photo_id",), "photos"
    ),
    "left_out": Table({"path": TEXT, "reason": TEXT, "detail": TEXT}, ("path",), "photos"),
    # landmark: null if the photo shows none
    "landmarks": Table({"path": TEXT, "landmark": TEXT}, ("path",), "photos"),
    # photo_id < other_id
    "candidates": Table({"photo_id": INT, "other_id": INT, "inliers": INT}, ("photo_id", "other_id"), "reconstruction"),
    # group_id: models that verified matches connect share a group; n_points: 3D points the photo sees; scale: px per unit of
    # length of the model, at its median point
    "registrations": Table(
        {"photo_id": INT, "model_id": INT, "group_id": INT, "n_points": INT, "scale": REAL}, ("photo_id",), "reconstruction"
    ),
    # linked: verified matches join the photo with a group
    "unregistered": Table({"photo_id": INT, "reason": TEXT, "linked": pa.bool_()}, ("photo_id",), "reconstruction"),
    # a photo sees a 3D point; point ids are unique over all models
    "tracks": Table({"photo_id": INT, "point_id": LONG}, ("photo_id", "point_id"), "reconstruction"),
    # shared_share: of the query's points; scale_change: >= 1; the last three are null if a published database does not say
    "pairs": Table(
        {"query_id": INT, "positive_id": INT, "model_id": INT, "shared_points": INT, "shared_share": REAL, "scale_change": REAL},
        ("query_id", "positive_id"),
        "pairs",
    ),
    # every photo that pairs are drawn from: photos of different groups are dissimilar; split: train | validation | test, the same
    # for a whole group
    "members": Table({"photo_id": INT, "model_id": INT, "group_id": INT, "split": TEXT}, ("photo_id",), "pairs"),
    "queries": Table(
        {
            "benchmark": TEXT,
            "method": TEXT,
            "bits": INT,  # null for real vectors
            "seed": INT,
            "scoring": TEXT,  # hamming | cosine | recentred | asymmetric: how queries and database are compared
            "query": TEXT,
            "group": TEXT,  # what the query shows (landmark, Holidays group, group of models): the unit of statistics
            "positives": INT,
            # trapezoid: expected over ties, in their best and in their worst order; NaN without positives, as all that follow
            **{"ap": REAL, "ap_best": REAL, "ap_worst": REAL},
            "ap_rectangle": REAL,  # expected over ties
            **{"p_at_1": REAL, "p_at_5": REAL, "p_at_10": REAL},
            "recall_in_radius": REAL,  # inside retrieval.radius bits; NaN for real vectors
        },
        ("benchmark", "method", "bits", "seed", "scoring", "query"),
        "retrieval",
    ),
    # round: 0 is untrained; loss, and quantization (mean of ||u - sgn u||^2 / L), are means over the round, NaN in round 0
    "history": Table(
        {"run": TEXT, "round": INT, "loss": REAL, "quantization": REAL, "validation_map": REAL}, ("run", "round"), "training"
    ),
}


def write_table(folder: Path, name: str, rows: pd.DataFrame) -> None:
    """Write rows as `folder`/`name`.parquet, sorted by the table's key, atomically.

    Raises StudyError if a column is missing, unknown or of another type, or if a key repeats.
    """
    table, path = TABLES[name], folder / f"{name}.parquet"
    if set(rows.columns) != set(table.columns):
        raise StudyError(f"{path}: has columns {sorted(rows.columns)}, needs {sorted(table.columns)}")
    if rows.duplicated(list(table.key)).any():
        raise StudyError(f"{path}: {', '.join(table.key)} repeats")
    try:
        write_parquet(path, rows[list(table.columns)].sort_values(list(table.key), kind="stable"), table.schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StudyError(f"{path}: {error}") from None


def write_parquet(
    path: Path, rows: pd.DataFrame, schema: pa.Schema | None = None, notes: Mapping[str, str] | None = None
) -> None:
    """Write rows atomically, by `schema` if it is given, with `notes` as the file's metadata. Raises pyarrow's own errors."""
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False).replace_schema_metadata(notes), content)
    write_bytes(path, content.getvalue())


def read_figures(path: Path) -> pd.DataFrame:
    """The figures of a JSON file as a table with one column; nested names are joined by a colon. Raises StudyError."""
    return pd.json_normalize(read_json(path), sep=": ").T.set_axis(["figure"], axis=1)


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """The rows of `folder`/`name`.parquet, in the order of the table's key.

    Raises StudyError if the file is absent, unreadable or of another form.
    """
    table, path = TABLES[name], folder / f"{name}.parquet"
    if not path.is_file():
        raise StudyError(f"{path}: is not there; make it with: dvc repro {table.stage}")
    try:
        content = read_parquet(path)
        for column, kind in table.columns.items():
            if content.column_names.count(column) != 1 or content.schema.field(column).type != kind:
                raise ValueError(f"column {column} ({kind}) is missing")
    except ValueError as error:
        raise StudyError(f"{path}: {error}; make it again with: dvc repro -f {table.stage}") from None
    return content.select(list(table.columns)).to_pandas()


def open_parquet(path: Path) -> pq.ParquetFile:
    """A parquet file at any path: as text, arrow refuses those that are not UTF-8. Raises OSError and pyarrow's own errors."""
    return pq.ParquetFile(pa.OSFile(os.fsencode(path)))


def read_parquet(path: Path) -> pa.Table:
    """A parquet file, checked to its last value. Raises ValueError, one line, if it cannot be read."""
    try:
        content = open_parquet(path).read()
        content.validate(full=True)
        return content
    except (pa.ArrowException, OSError) as error:
        raise ValueError(one_line(error)) from None
