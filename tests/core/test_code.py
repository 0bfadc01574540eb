"""Code: what a module imports, what changes its digest, and libraries that load on a bare machine."""

import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from bcdh_lib.core import code, imports
from bcdh_lib.core.code import code_digest, modules_of
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.imports import import_open3d

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
        write_bytes(tmp_path / f"bcdh_lib/{name}.py", text.encode())
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


# What the CUDA wheel meets next to a CPU-only torch, simulated on every machine.
OPERATORS_DO_NOT_LOAD = """
import torch
def load_library(path):
    raise OSError("libc10_cuda.so: cannot open shared object file")
torch.ops.load_library = load_library
from bcdh_lib.core.imports import import_torchvision
network = import_torchvision().models.resnet18(weights=None).eval()
assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
"""


def test_open3d_casts_rays_without_its_web_visualizer():
    assert hasattr(import_open3d().t.geometry, "RaycastingScene")
    assert os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] == "true"


@pytest.mark.parametrize("failing", ["ctypes.CDLL", "importlib.import_module"])
def test_a_missing_library_is_one_line_that_names_the_package(monkeypatch, failing):
    missing = OSError("libEGL.so.1: cannot open shared object file:\nNo such file or directory")
    monkeypatch.setattr(f"{imports.__name__}.{failing}", Mock(side_effect=missing))
    with pytest.raises(StudyError, match=r"^open3d: .*libEGL\.so\.1.*apt-get install libegl1 libgl1$"):
        import_open3d()


def test_torchvision_s_networks_work_if_its_operators_do_not_load():
    subprocess.run([sys.executable, "-c", OPERATORS_DO_NOT_LOAD], check=True)
