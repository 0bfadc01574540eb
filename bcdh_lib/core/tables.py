"""The tables between the steps: one parquet file each, the same columns everywhere, sorted, written atomically."""

from __future__ import annotations

import io
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
        return pa.schema([pa.field(name, kind) for name, kind in self.columns.items()])


# photo_id is the row number of photos.parquet; no step invents a second numbering.
TABLES = {
    "photos": Table(
        {
            "photo_id": pa.int32(),
            "path": pa.string(),  # relative to the source's folder, with forward slashes
            "width": pa.int32(),  # px, upright, as taken
            "height": pa.int32(),  # px, upright, as taken
            "sha256": pa.string(),  # of the file
            "source": pa.string(),
        },
        key=("photo_id",),
        stage="photos",
    ),
    "left_out": Table({"path": pa.string(), "reason": pa.string(), "detail": pa.string()}, key=("path",), stage="photos"),
    "landmarks": Table(
        {"path": pa.string(), "landmark": pa.string()},  # path as in photos; null if the photo shows no landmark
        key=("path",),
        stage="photos",
    ),
    "candidates": Table(
        {"photo_id": pa.int32(), "other_id": pa.int32(), "inliers": pa.int32()},  # photo_id < other_id
        key=("photo_id", "other_id"),
        stage="reconstruction",
    ),
    "registrations": Table(
        {
            "photo_id": pa.int32(),
            "model_id": pa.int32(),
            "group_id": pa.int32(),  # models that verified matches connect share a group
            "n_points": pa.int32(),  # 3D points the photo sees
            "scale": pa.float64(),  # px per unit of length of the model, at its median point
        },
        key=("photo_id",),
        stage="reconstruction",
    ),
    "unregistered": Table(
        {"photo_id": pa.int32(), "reason": pa.string(), "linked": pa.bool_()},  # linked: verified matches join it with a group
        key=("photo_id",),
        stage="reconstruction",
    ),
    "tracks": Table(
        {"photo_id": pa.int32(), "point_id": pa.int64()},  # photo sees 3D point; point ids are unique over all models
        key=("photo_id", "point_id"),
        stage="reconstruction",
    ),
    "pairs": Table(
        {
            "query_id": pa.int32(),
            "positive_id": pa.int32(),
            "model_id": pa.int32(),
            "shared_points": pa.int32(),  # null if a published database does not say
            "shared_share": pa.float64(),  # of the query's points; null likewise
            "scale_change": pa.float64(),  # >= 1; null likewise
        },
        key=("query_id", "positive_id"),
        stage="pairs",
    ),
    "members": Table(  # every photo that pairs are drawn from: photos of different groups are dissimilar
        {
            "photo_id": pa.int32(),
            "model_id": pa.int32(),
            "group_id": pa.int32(),
            "split": pa.string(),  # train | validation | test; a whole group has one
        },
        key=("photo_id",),
        stage="pairs",
    ),
    "queries": Table(
        {
            "benchmark": pa.string(),
            "method": pa.string(),
            "bits": pa.int32(),  # null for real vectors
            "seed": pa.int32(),
            "scoring": pa.string(),  # hamming | cosine | recentred | asymmetric: how queries and database are compared
            "query": pa.string(),
            "group": pa.string(),  # what the query shows (landmark, Holidays group, group of models): the unit of statistics
            "positives": pa.int32(),
            "ap": pa.float64(),  # trapezoid, expected over ties; NaN without positives, as all that follow
            "ap_best": pa.float64(),  # trapezoid, best order of ties
            "ap_worst": pa.float64(),  # trapezoid, worst order of ties
            "ap_rectangle": pa.float64(),  # rectangle, expected over ties
            "p_at_1": pa.float64(),
            "p_at_5": pa.float64(),
            "p_at_10": pa.float64(),
            "recall_in_radius": pa.float64(),  # inside retrieval.radius bits; NaN for real vectors
        },
        key=("benchmark", "method", "bits", "seed", "scoring", "query"),
        stage="retrieval",
    ),
    "history": Table(
        {
            "run": pa.string(),
            "round": pa.int32(),  # 0: untrained
            "loss": pa.float64(),  # mean over the round; NaN in round 0
            "quantization": pa.float64(),  # mean of ||u - sgn u||^2 / L over the round; NaN in round 0
            "validation_map": pa.float64(),
        },
        key=("run", "round"),
        stage="training",
    ),
}


def write_table(folder: Path, name: str, rows: pd.DataFrame, form: str = "", notes: dict[str, str] | None = None) -> None:
    """Write rows as `folder`/`name`.parquet, sorted by the table's key, atomically.

    form: the name of the table's form, if it differs from `name`; notes: the file's metadata.
    Raises StudyError if a column is missing, unknown or of another type, or if a key repeats.
    """
    table, path = TABLES[form or name], folder / f"{name}.parquet"
    if set(rows.columns) != set(table.columns):
        raise StudyError(f"{path}: has columns {sorted(rows.columns)}, needs {sorted(table.columns)}")
    if rows.duplicated(list(table.key)).any():
        raise StudyError(f"{path}: {', '.join(table.key)} repeats")
    rows = rows[list(table.columns)].sort_values(list(table.key), kind="stable")
    try:
        content = pa.Table.from_pandas(rows, schema=table.schema, preserve_index=False).replace_schema_metadata(notes)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StudyError(f"{path}: {error}") from None
    buffer = io.BytesIO()
    pq.write_table(content, buffer)
    write_bytes(path, buffer.getvalue())


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
    except ValueError as error:
        raise StudyError(f"{path}: is not a readable table ({error}); make it again with: dvc repro -f {table.stage}") from None
    for column, kind in table.columns.items():
        if content.column_names.count(column) != 1 or content.schema.field(column).type != kind:
            raise StudyError(f"{path}: column {column} ({kind}) is missing; make it again with: dvc repro -f {table.stage}")
    return content.select(list(table.columns)).to_pandas()


def read_parquet(path: Path) -> pa.Table:
    """A parquet file, checked to its last value. Raises ValueError, one line, if it cannot be read."""
    try:
        content = pq.read_table(path, partitioning=None)
        content.validate(full=True)
        return content
    except (pa.ArrowException, OSError) as error:
        raise ValueError(one_line(error)) from None
