"""The published pair databases: a small one in the same form, as the tables of the pairs step, and broken ones."""

import pickle

import pandas as pd
import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_json, read_plain_pickle
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.pairs.make import make_pairs
from bcdh_lib.pairs.sources.retrieval_sfm import photo_path, read_published_pairs
from bcdh_lib.study import Study
from tests.helpers import refused

CIDS = [f"{i:032x}" for i in range(8)]


def published_photos():
    """The table `photos` of the database's photos."""
    photos = pd.DataFrame({"path": sorted(photo_path(cid) for cid in CIDS)})
    return photos.assign(photo_id=photos.index)


def write_database(folder, **changes):
    database = {
        "train": {"cids": CIDS[:5], "cluster": [3, 3, 3, 7, 7], "qidxs": [0, 1, 2, 3], "pidxs": [1, 1, 0, 4]},
        "val": {"cids": CIDS[5:], "cluster": [0, 0, 1], "qidxs": [0], "pidxs": [1]},
    }
    (folder / "sfm.pkl").write_bytes(pickle.dumps(database | changes, protocol=2))
    return folder / "sfm.pkl"


def test_by_hand(tmp_path):
    pairs, members, left_out = read_published_pairs(write_database(tmp_path), published_photos())
    assert left_out == {"query equals positive": 1, "photo not found": 0}
    expected = [[0, 1, 3], [2, 0, 3], [3, 4, 7], [5, 6, 8]]
    assert pairs[["query_id", "positive_id", "model_id"]].to_numpy().tolist() == expected
    assert members["group_id"].tolist() == [3, 3, 3, 7, 7, 8, 8, 9]
    assert members["split"].tolist() == ["train"] * 5 + ["validation"] * 3


def test_missing_photos_are_counted(tmp_path):
    database, photos = write_database(tmp_path), published_photos()
    _, members, left_out = read_published_pairs(database, photos[photos["photo_id"] != 4])
    assert left_out["photo not found"] == 1
    assert 4 not in members["photo_id"].tolist()
    _, members, _ = read_published_pairs(database, photos[photos["photo_id"] > 4])  # none of `train`
    assert members["model_id"].tolist() == [0, 0, 1]
    with pytest.raises(StudyError, match="none of its photos was found"):
        read_published_pairs(database, photos[:0])


@pytest.mark.parametrize(
    "split",
    [{}, None, {"cids": ["a"], "cluster": [1], "qidxs": [9], "pidxs": [0]}, {"cids": 3, "cluster": 1, "qidxs": [], "pidxs": []}]
    + [
        {"cids": ["a", "b"], "cluster": [1, 1], "qidxs": [0], "pidxs": [1]} | change
        for change in ({"pidxs": [-1]}, {"cluster": [1]}, {"cluster": [[1], [1]]}, {"cids": ["a", []]}, {"qidxs": [float("nan")]})
    ],
)
def test_another_form_is_named(tmp_path, split):
    with pytest.raises(StudyError, match=r"sfm\.pkl: train: is not of the published form"):
        read_published_pairs(write_database(tmp_path, train=split), published_photos())


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])[:-2], b"]r\xff\xff\xff\x7f.", b"]p4000000000\n."])
def test_a_broken_pickle_is_named(tmp_path, content):
    (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(StudyError, match=r"bad\.pkl: is not a pickle"):
        read_plain_pickle(tmp_path / "bad.pkl")
    with pytest.raises(StudyError, match="cannot be read"):
        read_plain_pickle(tmp_path / "none.pkl")


def study_of(params, root, **settings):
    return Study(root, params.model_copy(update={"pairs": params.pairs.model_copy(update=settings)}))


def test_published_pairs_become_tables(params, tmp_path):
    study = study_of(params, tmp_path, source="retrieval_sfm", database=write_database(tmp_path).name)
    write_table(study.photos, "photos", published_photos().assign(width=9, height=9, sha256="", source="folder"))
    make_pairs(study)
    assert len(read_table(study.pairs, "pairs")) == read_json(study.pairs / "summary.json")["similar_pairs"] == 4
    assert len(read_table(study.pairs, "members")) == 8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "nowhere"}, r"pairs\.source: .*nowhere.*reconstruction, retrieval_sfm"),
        ({"source": "retrieval_sfm"}, r"pairs\.source .*pairs\.database"),
        ({"source": "retrieval_sfm", "database": "none.pkl"}, r"pairs\.database: .*none\.pkl"),
    ],
)
def test_a_missing_setting_is_one_line(params, tmp_path, settings, said):
    with refused(said):
        make_pairs(study_of(params, tmp_path, **settings))
