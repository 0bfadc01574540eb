"""The pairs step: the published pairs as its tables; an unknown source or a missing database is one line."""

import pytest

from bcdh_lib.core.files import read_json
from bcdh_lib.core.tables import read_table, write_table
from bcdh_lib.pairs.make import make_pairs
from bcdh_lib.study import Study
from tests.helpers import refused

from .test_retrieval_sfm import published_photos, write_database


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
