"""The pairs step: a source is one file; an unknown source or a missing database is one line."""

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.pairs.make import inputs, make_pairs, source_of
from bcdh_lib.pairs.sources import SOURCES
from bcdh_lib.study import Study


def study_of(params, tmp_path, **settings):
    return Study(tmp_path, params.model_copy(update={"pairs": params.pairs.model_copy(update=settings)}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "nowhere"}, r"pairs\.source: 'nowhere' is unknown; choose one of reconstruction, retrieval_sfm"),
        ({"source": "retrieval_sfm"}, r"pairs\.source is retrieval_sfm: name its database file in pairs\.database"),
        ({"source": "retrieval_sfm", "database": "none.pkl"}, r"pairs\.database: .*none\.pkl: is no file"),
    ],
)
def test_a_missing_setting_is_one_line(params, tmp_path, settings, said):
    with pytest.raises(StudyError, match=rf"^[^\n]*{said}[^\n]*$"):
        make_pairs(study_of(params, tmp_path, **settings))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_names_its_inputs(params, tmp_path, name):
    (tmp_path / "some.pkl").touch()
    study = study_of(params, tmp_path, source=name, database="some.pkl")
    assert source_of(study) == SOURCES[name]
    assert inputs(study)
