"""Pretrained backbones, one file each. A new one is one new file here that defines BACKBONE(pretrained) -> Backbone."""

from collections.abc import Callable

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.registry import discover
from bcdh_lib.training.backbones.backbone import Backbone

BACKBONES: dict[str, Callable[[bool], Backbone]] = discover(__name__, "BACKBONE")


def check_backbone(name: str) -> None:
    """Raise StudyError if network.backbone names no backbone."""
    if name not in BACKBONES:
        raise StudyError(f"params.yaml: network.backbone: {one_line(name)} is unknown; known: {', '.join(BACKBONES)}")
