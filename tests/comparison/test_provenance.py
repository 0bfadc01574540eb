"""What a result came from: which code counts for a method, and that nothing else is taken for it."""

from pathlib import Path

import pytest

from bcdh_lib.comparison import provenance
from bcdh_lib.comparison.provenance import check, code_of, code_of_coder, digest_of
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.training.losses import LOSSES


def files_of(monkeypatch, digest):
    """Names of the files that a digest is made of."""
    seen = []
    monkeypatch.setattr(provenance, "digest_of", lambda files, *texts: seen.extend(files) or "")
    digest()
    monkeypatch.undo()
    assert all(path.is_file() for path in seen)
    return {path.name for path in seen}


def test_a_method_s_code_is_its_own_loss_and_what_all_share(monkeypatch):
    """A change of another loss, or one more in the registry, leaves its results as they are."""
    own = {method: files_of(monkeypatch, lambda method=method: code_of(method)) for method in LOSSES}
    for method in LOSSES:
        others = {f"{other}.py" for other in LOSSES if other != method}
        assert f"{method}.py" in own[method]
        assert not others & own[method]
        assert {"training.py", "batches.py", "itq.py", "metrics.py", "pairwise.py"} <= own[method]
        assert "__init__.py" not in own[method]
    assert code_of("float") == code_of("contrastive") != code_of("dsh")


def test_shallow_codes_name_their_code(monkeypatch):
    for method in SHALLOW:
        assert {"shallow.py", "itq.py"} <= files_of(monkeypatch, lambda method=method: code_of_coder(method))


def test_a_digest_is_of_contents_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert digest_of([tmp_path / "a"]) == digest_of([tmp_path / "b"])
    assert digest_of([tmp_path / "a"]) != digest_of([tmp_path / "a"], "text") != digest_of([])


def test_what_differs_is_named():
    check(Path("cells/x"), {"loss": 1, "network": 2, "more": 3}, {"loss": 1, "network": 2})
    with pytest.raises(StudyError, match=r"^cells/x: was made with other loss, pairs; bring these back, or remove cells to"):
        check(Path("cells/x"), {"loss": 1, "network": 2}, {"loss": 2, "network": 2, "pairs": "a"})
