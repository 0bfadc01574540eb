"""open3d and torchvision, imported so that they load on every machine."""

import contextlib
import ctypes
import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

from bcdh_lib.core.errors import StudyError, one_line


def import_open3d() -> ModuleType:
    """The open3d module, loaded without its web visualizer, which would use a full core at exit.

    open3d is linked against libusb, for depth cameras. A minimal system has none, so the copy in the package libusb-package is
    loaded first, visible to all later libraries. Raises StudyError if a library is missing.
    """
    os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] = "true"
    try:
        libusb = importlib.import_module("libusb_package").get_library_path()
        ctypes.CDLL(str(libusb), mode=ctypes.RTLD_GLOBAL)
        return importlib.import_module("open3d")
    except (ImportError, OSError) as error:
        fix = "on Debian, install the libraries: apt-get install libegl1 libgl1"
        raise StudyError(f"open3d: cannot be loaded ({one_line(error)}); {fix}") from None


def import_torchvision() -> ModuleType:
    """The torchvision module; call this instead of a first `import torchvision`.

    torchvision's compiled operators load only with the torch they were built for. Next to a CPU-only torch, the CUDA wheel fails
    on import with "operator torchvision::nms does not exist". The study needs only networks and transforms, so declaring nms and
    qnms (signatures of torchvision 0.28, csrc/ops/nms.cpp) lets the import pass; calling them still fails.
    """
    import torch

    package = importlib.util.find_spec("torchvision")
    if package and package.origin:
        for operators in Path(package.origin).parent.glob("_C.*"):
            with contextlib.suppress(OSError):
                torch.ops.load_library(operators)
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")
