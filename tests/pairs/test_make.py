"""The pairs step: a source is one file; an unknown source or a missing database is one line."""

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.pairs.make import make_pairs
from bcdh_lib.study import Study


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "nowhere"}, r"pairs\.source: .*nowhere.*reconstruction, retrieval_sfm"),
        ({"source": "retrieval_sfm"}, r"pairs\.source .*pairs\.database"),
        ({"source": "retrieval_sfm", "database": "none.pkl"}, r"pairs\.database: .*none\.pkl"),
    ],
)
def test_a_missing_setting_is_one_line(params, tmp_path, settings, said):
    study = Study(tmp_path, params.model_copy(update={"pairs": params.pairs.model_copy(update=settings)}))
    with pytest.raises(StudyError, match=rf"^[^\n]*{said}[^\n]*$"):
        make_pairs(study)
