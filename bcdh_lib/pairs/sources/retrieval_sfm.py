"""The published pairs of retrieval-SfM-30k and -120k, as the tables that our own 3D models give.

pairs.database names their file: a pickle {'train', 'val'} of dicts with `cids` (photo names), `cluster` (3D model of each photo),
`qidxs` and `pidxs` (rows of cids: query and positive). A photo is ims/cid[-2:]/cid[-4:-2]/cid[-6:-4]/cid; read the folder ims
like any folder of photos (photos.source: folder). In a few published pairs, query and positive are the same photo: these are left
out and counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.plain_pickle import read_plain_pickle
from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.source import PairSource, PairTables
from bcdh_lib.study import Study

SPLITS = {"train": "train", "val": "validation"}


def database_of(study: Study) -> Path:
    """The file that pairs.database names. Raises StudyError if it names none."""
    if study.params.pairs.database is None:
        raise StudyError("params.yaml: pairs.source is retrieval_sfm: name its database file in pairs.database")
    return study.root / Path(study.params.pairs.database).expanduser()


def inputs(study: Study) -> list[Path]:
    """The files that `read` needs. Raises StudyError if one is missing."""
    database = database_of(study)
    if not database.is_file():
        raise StudyError(f"pairs.database: {database}: is no file; name a retrieval-SfM database")
    return [database, study.photos / "photos.parquet"]


def read(study: Study) -> PairTables:
    """The published pairs of the study's photos. Raises StudyError."""
    return read_published_pairs(database_of(study), read_table(study.photos, "photos"))


def photo_path(cid: str) -> str:
    """Path of a published photo inside the folder ims."""
    return f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}"


def read_published_pairs(database: Path, photos: pd.DataFrame) -> PairTables:
    """Pairs and members of the published `database` (a .pkl) for the photos of the table `photos`.

    Raises StudyError if the file is not of the published form or none of its photos is in the table.
    """
    content = read_plain_pickle(database)
    if not isinstance(content, dict) or not content.keys() >= SPLITS.keys():
        raise StudyError(f"{database}: holds no 'train' and 'val'; name a retrieval-SfM database in pairs.database")
    photo_id = pd.Series(photos["photo_id"].to_numpy(), index=photos["path"])
    splits = [_read_split(database, name, content[name], photo_id) for name in SPLITS]
    offset = splits[0]["members"]["model_id"].max() + 1  # each split numbers its models from 0
    for table in ("members", "pairs"):
        splits[1][table]["model_id"] += offset
    members = pd.concat([split["members"] for split in splits], ignore_index=True)
    if members.empty:
        raise StudyError(
            f"{database}: none of its photos was found; set photos.source: folder and photos.folder to its ims folder"
        )
    members["group_id"] = members["model_id"]
    left_out = {
        "query equals positive": sum(split["equal"] for split in splits),
        "photo not found": sum(split["absent"] for split in splits),
    }
    return PairTables(pd.concat([split["pairs"] for split in splits], ignore_index=True), members, left_out)


def _read_split(database: Path, name: str, split: Any, photo_id: pd.Series) -> dict[str, Any]:
    try:
        cids, cluster = [_text(cid) for cid in split["cids"]], _numbers(split, "cluster")
        query, positive = _numbers(split, "qidxs", len(cids)), _numbers(split, "pidxs", len(cids))
        if len(cluster) != len(cids):
            raise ValueError(f"{len(cluster)} in cluster, {len(cids)} in cids")
        ids = photo_id.reindex([photo_path(cid) for cid in cids]).to_numpy(dtype=np.float64)
        present = ~np.isnan(ids)
        equal, absent = query == positive, ~(present[query] & present[positive])
        used = ~equal & ~absent
        model = cluster[query[used]]
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise StudyError(f"{database}: {name}: is not of the published form ({reason})") from None
    pairs = pd.DataFrame({"query_id": ids[query[used]], "positive_id": ids[positive[used]], "model_id": model}).astype("int64")
    pairs = pairs.drop_duplicates(["query_id", "positive_id"], ignore_index=True)
    for column, kind in (("shared_points", "Int32"), ("shared_share", "Float64"), ("scale_change", "Float64")):
        pairs[column] = pd.array([None] * len(pairs), dtype=kind)
    members = pd.DataFrame({"photo_id": ids[present].astype("int64"), "model_id": cluster[present], "split": SPLITS[name]})
    return {"pairs": pairs, "members": members, "equal": int(equal.sum()), "absent": int((absent & ~equal).sum())}


def _text(cid: Any) -> str:
    if not isinstance(cid, str):
        raise TypeError("a name in cids is no text")
    return cid


def _numbers(split: Any, key: str, below: int = 2**31) -> NDArray[np.int64]:
    """The list `key` of whole numbers from 0 to `below` - 1. Raises ValueError for anything else, nested lists included."""
    listed = split[key]
    if not (isinstance(listed, list | tuple) and all(isinstance(each, int | float) and 0 <= each < below for each in listed)):
        raise ValueError(f"{key} is no list of numbers from 0 to {below - 1:,}")
    return np.array(listed, dtype=np.int64)


SOURCE = PairSource(read, inputs)
