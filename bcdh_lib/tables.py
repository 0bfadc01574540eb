"""The tables between the steps: one parquet file each, the same columns everywhere, sorted, written whole or not at all."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcdh_lib.params import in_a_line


class TableError(ValueError):
    """A table that is absent or not of its form; the message names the file, the column and the mend."""


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
        {"path": pa.string(), "landmark": pa.string()},  # path as in photos; null for a photo of nothing else
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
            "shared_points": pa.int32(),  # null where a published database does not say
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
            "query": pa.string(),
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
        key=("benchmark", "method", "bits", "seed", "query"),
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
    """Write rows as `folder`/`name`.parquet, sorted by the table's key, whole or not at all (a rename ends it).

    form: the table whose form it has, where that is not its name; notes: the file's metadata.
    Raises TableError where a column lacks, is too many or does not fit its type, or the key repeats.
    """
    table, path = TABLES[form or name], folder / f"{name}.parquet"
    if set(rows.columns) != set(table.columns):
        raise TableError(f"{path}: has columns {sorted(rows.columns)}, needs {sorted(table.columns)}")
    if rows.duplicated(list(table.key)).any():
        raise TableError(f"{path}: {', '.join(table.key)} repeats")
    rows = rows[list(table.columns)].sort_values(list(table.key), kind="stable")
    try:
        content = pa.Table.from_pandas(rows, schema=table.schema, preserve_index=False).replace_schema_metadata(notes)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"{path}: {error}") from None
    buffer = io.BytesIO()
    pq.write_table(content, buffer)
    write_bytes(path, buffer.getvalue())


def read_figures(path: Path) -> pd.DataFrame:
    """The figures of a JSON file as a table with one column; nested names are joined by a colon. Raises TableError."""
    return pd.json_normalize(read_json(path), sep=": ").T.set_axis(["figure"], axis=1)


def read_json(path: Path) -> dict[str, Any]:
    """The figures of a JSON file, by their names. Raises TableError where it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(f"{path}: cannot be read ({in_a_line(error)}); make it with: dvc repro") from None
    if not (isinstance(content, dict) and content):
        raise TableError(f"{path}: holds no figures; make it with: dvc repro")
    return content


def write_json(path: Path, content: Any, indent: int = 2) -> None:
    """Write figures as JSON, whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=indent) + "\n").encode())


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """The array of a .npy file, mapped into memory or read into it. Raises OSError, or ValueError where the file is none.

    np.load makes room for what the header announces before it looks whether it is there, takes a .zip for a .npy, and raises
    what the header's Python happens to raise.
    """
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, kind = read_header(file)
        except Exception as error:
            raise ValueError(f"it is no .npy ({in_a_line(error)})") from None
        there = os.fstat(file.fileno()).st_size - file.tell()
    if min(shape, default=0) < 0 or kind.hasobject or math.prod(shape) * kind.itemsize != there:
        raise ValueError(f"it announces {kind} {shape}, and {there:,} bytes follow")
    return np.load(path, mmap_mode="r" if mapped and there else None, allow_pickle=False)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a rename ends it, so a killed run leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """The rows of `folder`/`name`.parquet, in the order of the table's key.

    Raises TableError where the file is absent, unreadable or of another form.
    """
    table, path = TABLES[name], folder / f"{name}.parquet"
    if not path.is_file():
        raise TableError(f"{path}: is not there; make it with: dvc repro {table.stage}")
    try:
        content = read_parquet(path)
    except ValueError as error:
        raise TableError(f"{path}: is not a readable table ({error}); make it anew with: dvc repro -f {table.stage}") from None
    for column, kind in table.columns.items():
        if content.column_names.count(column) != 1 or content.schema.field(column).type != kind:
            raise TableError(f"{path}: column {column} ({kind}) is missing; make it anew with: dvc repro -f {table.stage}")
    return content.select(list(table.columns)).to_pandas()


def read_parquet(path: Path) -> pa.Table:
    """All of a parquet file, its texts valid Unicode. Raises ValueError, one line, where it cannot be read or is none."""
    try:
        content = pq.read_table(path, partitioning=None)
        content.validate(full=True)
        return content
    except (pa.ArrowException, OSError) as error:
        raise ValueError(in_a_line(error)) from None
