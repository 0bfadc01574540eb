"""open3d loads on a bare machine, or one line names the package to install; torchvision loads next to any torch."""

import os
import subprocess
import sys

import pytest

from bcdh_lib.core import imports
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.imports import import_open3d

FORWARD = """
from bcdh_lib.core.imports import import_torchvision
torchvision = import_torchvision()
assert torchvision.models.resnet18(weights=None).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
"""

# What the CUDA wheel meets next to a CPU-only torch, simulated on every machine.
OPERATORS_DO_NOT_LOAD = """
def load_library(path):
    raise OSError("libc10_cuda.so: cannot open shared object file")
torch.ops.load_library = load_library
"""

PLAIN_IMPORT_FAILS = """
try:
    import torchvision
except RuntimeError as error:
    assert "torchvision::nms does not exist" in str(error)
else:
    raise AssertionError("the plain import is expected to fail here")
"""

CALL_FAILS = """
try:
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except RuntimeError:
    sys.exit(0)
raise AssertionError("an absent operator cannot be called")
"""


def test_open3d_casts_rays_without_its_web_visualizer():
    assert hasattr(import_open3d().t.geometry, "RaycastingScene")
    assert os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] == "true"


@pytest.mark.parametrize("failing", ["ctypes.CDLL", "importlib.import_module"])
def test_a_missing_library_is_one_line_that_names_the_package(monkeypatch, failing):
    def fail(*args, **kwargs):
        raise OSError("libEGL.so.1: cannot open shared object file:\nNo such file or directory")

    monkeypatch.setattr(f"{imports.__name__}.{failing}", fail)
    with pytest.raises(StudyError, match=r"^open3d: .*libEGL\.so\.1.*apt-get install libegl1 libgl1$"):
        import_open3d()


@pytest.mark.parametrize("code", [FORWARD, OPERATORS_DO_NOT_LOAD + PLAIN_IMPORT_FAILS + FORWARD + CALL_FAILS])
def test_torchvision_s_networks_work(code: str) -> None:
    subprocess.run([sys.executable, "-c", f"import sys, torch\n{code}"], check=True)
