"""The published pairs of retrieval-SfM-30k and -120k, as the tables that our own 3D models give.

pairs.database names their file: a pickle {'train', 'val'} of dicts as `Split`. A photo is ims/cid[-2:]/cid[-4:-2]/cid[-6:-4]/cid;
read the folder ims like any folder of photos (photos.source: folder). In a few published pairs, query and positive are the same
photo: these are left out and counted.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.files import read_plain_pickle
from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.covisibility import PairTables
from bcdh_lib.study import Study

SPLITS = {"train": "train", "val": "validation"}
Number = Annotated[int, Field(ge=0, lt=2**31)]


class Split(BaseModel):
    """One split of the published file."""

    cids: list[str]  # names of photos
    cluster: list[Number]  # the 3D model of each
    qidxs: list[Number]  # rows of cids: queries
    pidxs: list[Number]  # and their positives


def inputs(study: Study) -> list[Path]:
    """The files that `read` needs. Raises StudyError if one is missing."""
    if study.params.pairs.database is None:
        raise StudyError("params.yaml: pairs.source is retrieval_sfm: name its database file in pairs.database")
    database = study.root / Path(study.params.pairs.database).expanduser()
    if not database.is_file():
        raise StudyError(f"pairs.database: {database}: is no file; name a retrieval-SfM database")
    return [database, study.photos / "photos.parquet"]


def read(study: Study) -> PairTables:
    """The published pairs of the study's photos. Raises StudyError."""
    return read_published_pairs(inputs(study)[0], read_table(study.photos, "photos"))


def photo_path(cid: str) -> str:
    """Path of a published photo inside the folder ims."""
    return f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}"


def read_published_pairs(database: Path, photos: pd.DataFrame) -> PairTables:
    """The pairs of the published `database` (a .pkl) for the photos of the table `photos`.

    Raises StudyError if the file is not of the published form or none of its photos is in the table.
    """
    content = read_plain_pickle(database)
    if not isinstance(content, dict) or not content.keys() >= SPLITS.keys():
        raise StudyError(f"{database}: holds no 'train' and 'val'; name a retrieval-SfM database in pairs.database")
    photo_id = pd.Series(photos["photo_id"].to_numpy(), index=photos["path"])
    left_out = {"query equals positive": 0, "photo not found": 0}
    pairs, members, models = [], [], 0
    for name, split in SPLITS.items():
        try:
            given = Split.model_validate(content[name])
            ids = photo_id.reindex([photo_path(cid) for cid in given.cids]).to_numpy(dtype=np.float64)
            ends = np.array([given.qidxs, given.pidxs], dtype=np.int64)
            present, equal = ~np.isnan(ids), ends[0] == ends[1]
            absent = ~present[ends].all(axis=0)
            model = np.array(given.cluster, dtype=np.int64) + models  # each split numbers its models from 0
            rows = {"photo_id": ids[present].astype("int64"), "model_id": model[present], "split": split}
        except (ValueError, IndexError) as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise StudyError(f"{database}: {name}: is not of the published form ({reason})") from None
        members.append(pd.DataFrame(rows))
        query, positive = ends[:, ~equal & ~absent]
        columns = {"query_id": ids[query], "positive_id": ids[positive], "model_id": model[query]}
        pairs.append(pd.DataFrame(columns).astype("int64").drop_duplicates(["query_id", "positive_id"]))
        left_out["query equals positive"] += int(equal.sum())
        left_out["photo not found"] += int((absent & ~equal).sum())
        models = int(model[present].max(initial=-1)) + 1
    both = pd.concat(members, ignore_index=True)
    if both.empty:
        raise StudyError(
            f"{database}: none of its photos was found; set photos.source: folder and photos.folder to its ims folder"
        )
    unknown = {"shared_points": "Int32", "shared_share": "Float64", "scale_change": "Float64"}
    empty = {column: pd.array([None] * sum(map(len, pairs)), dtype=kind) for column, kind in unknown.items()}
    return pd.concat(pairs, ignore_index=True).assign(**empty), both.assign(group_id=both["model_id"]), left_out


SOURCE = read, inputs
