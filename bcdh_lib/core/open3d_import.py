"""open3d, imported the one way that works on a bare machine."""

from __future__ import annotations

import ctypes
import importlib
import os
from types import ModuleType

import libusb_package

from bcdh_lib.core.errors import StudyError

MEND = "apt-get install libegl1 libgl1"


class Open3dError(StudyError):
    """open3d cannot be loaded; the message names the system packages that mend it."""


def import_open3d() -> ModuleType:
    """The open3d module, loaded without its web visualizer (which would spin a processor at exit).

    open3d's library is linked against libusb for depth cameras that the study never uses; a minimal system has no
    libusb, so the copy that the package libusb-package ships is loaded first, visible to all that is loaded later.

    Raises Open3dError where a system library lacks.
    """
    os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] = "true"
    try:
        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        return importlib.import_module("open3d")
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise Open3dError(f"open3d: cannot be loaded ({reason}); on Debian the libraries come with: {MEND}") from None
