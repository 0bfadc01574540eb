"""torchvision next to a torch of another build: the one place that imports it."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """The torchvision package, imported; call this instead of a first `import torchvision`.

    torchvision's compiled operators load only with the torch they were built for. Next to a CPU-only torch, the CUDA wheel fails
    on import with "operator torchvision::nms does not exist". The study needs only networks and transforms, so declaring nms and
    qnms (signatures of torchvision 0.28, csrc/ops/nms.cpp) lets the import pass; calling them still fails.
    Raises ModuleNotFoundError if torchvision is not installed.
    """
    package = importlib.util.find_spec("torchvision")
    if package is not None and package.origin is not None:
        for operators in Path(package.origin).parent.glob("_C.*"):
            with contextlib.suppress(OSError):
                torch.ops.load_library(operators)
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")
