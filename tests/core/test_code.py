"""The digest of code: what changes it, and what does not."""

import pytest

from bcdh_lib.core import code
from bcdh_lib.core.code import code_digest, modules_of

SOURCE = {
    "__init__": "",
    "a": "from bcdh_lib.b import double\nfrom bcdh_lib.losses import LOSSES\n",
    "b": 'def double(x):\n    """Twice x."""\n    return 2 * x\n',
    "c": "import os\n",
    "losses/__init__": "from bcdh_lib.d import discover\nLOSSES = discover(__name__, 'LOSS')\n",
    "losses/hinge": "LOSS = 1\n",
    "d": "",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of a few modules, which the digest treats as the library."""
    for name, text in SOURCE.items():
        path = tmp_path / f"bcdh_lib/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "LIBRARY", tmp_path / "bcdh_lib")
    code.imports_of.cache_clear()
    yield tmp_path / "bcdh_lib"
    code.imports_of.cache_clear()


def test_imports_are_followed(library):
    registry = {"bcdh_lib", "bcdh_lib.losses", "bcdh_lib.losses.hinge", "bcdh_lib.d"}  # a registry brings its files
    assert modules_of("bcdh_lib.losses") == registry
    assert modules_of("bcdh_lib.a") == registry | {"bcdh_lib.a", "bcdh_lib.b"}
    assert modules_of("bcdh_lib.a", without={"bcdh_lib.b"}) == registry | {"bcdh_lib.a"}


@pytest.mark.parametrize(
    ("module", "text", "changes"),
    [
        ("b", "def double(x):\n    # a comment\n    return 2 * x\n", False),
        ("b", 'def double(x):\n    """Other words."""\n\n    return (2 *\n        x)\n', False),
        ("b", "def double(x):\n    return 3 * x\n", True),
        ("c", "import sys\n", False),
        ("losses/cosine", "LOSS = 2\n", True),
    ],
    ids=["comment", "docstring and layout", "a module that is imported", "a module that is not", "a new file of a registry"],
)
def test_what_changes_the_digest(library, module, text, changes):
    before = code_digest("bcdh_lib.a")
    (library / f"{module}.py").write_text(text)
    code.imports_of.cache_clear()
    assert (code_digest("bcdh_lib.a") != before) == changes
