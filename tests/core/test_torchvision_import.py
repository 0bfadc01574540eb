"""torchvision imports next to the torch it was built for and next to any other, in a fresh interpreter each time."""

import subprocess
import sys

import pytest

FORWARD = """
from bcdh_lib.core.torchvision_import import import_torchvision
torchvision = import_torchvision()
assert import_torchvision() is torchvision
print(tuple(torchvision.models.resnet18(weights=None).eval()(torch.zeros(1, 3, 64, 64)).shape))
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


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", "import torch\n" + code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("before", ["", OPERATORS_DO_NOT_LOAD, OPERATORS_DO_NOT_LOAD + PLAIN_IMPORT_FAILS])
def test_networks_work(before: str) -> None:
    assert run(before + FORWARD) == "(1, 1000)\n"


def test_absent_operators_still_fail_when_called() -> None:
    call = """
try:
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except RuntimeError:
    print("fails")
"""
    assert run(OPERATORS_DO_NOT_LOAD + FORWARD + call).splitlines()[-1] == "fails"


def test_not_installed_is_a_plain_import_error() -> None:
    code = """
import sys
from bcdh_lib.core.torchvision_import import import_torchvision
sys.path[:] = [folder for folder in sys.path if "site-packages" not in folder]
try:
    import_torchvision()
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(code) == "torchvision\n"
