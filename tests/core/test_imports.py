"""open3d loads on a bare machine, or one line names the package to install; torchvision loads next to any torch."""

import os
import subprocess
import sys

import pytest

from bcdh_lib.core import imports
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.imports import import_open3d

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
    def fail(*args, **kwargs):
        raise OSError("libEGL.so.1: cannot open shared object file:\nNo such file or directory")

    monkeypatch.setattr(f"{imports.__name__}.{failing}", fail)
    with pytest.raises(StudyError, match=r"^open3d: .*libEGL\.so\.1.*apt-get install libegl1 libgl1$"):
        import_open3d()


def test_torchvision_s_networks_work_if_its_operators_do_not_load():
    subprocess.run([sys.executable, "-c", OPERATORS_DO_NOT_LOAD], check=True)
