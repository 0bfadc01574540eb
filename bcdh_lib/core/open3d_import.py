"""open3d, imported the one way that works on a bare machine."""

from __future__ import annotations

import ctypes
import importlib
import os
from types import ModuleType

import libusb_package

from bcdh_lib.core.errors import StudyError

INSTALL = "apt-get install libegl1 libgl1"


class Open3dError(StudyError):
    """open3d cannot be loaded; the message names the system packages to install."""


def import_open3d() -> ModuleType:
    """The open3d module, loaded without its web visualizer, which would use a full core at exit.

    open3d is linked against libusb for depth cameras that the study never uses. A minimal system has no libusb, so the copy
    in the package libusb-package is loaded first, visible to all later libraries.

    Raises Open3dError if a system library is missing.
    """
    os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] = "true"
    try:
        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        return importlib.import_module("open3d")
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise Open3dError(f"open3d: cannot be loaded ({reason}); on Debian, install the libraries: {INSTALL}") from None
