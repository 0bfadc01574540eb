"""Where photos come from, one file a source; `gather` is the photos stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.photos.folder import PhotosError, locate, take_in
from bcdh_lib.study import Study

__all__ = ["SOURCES", "PhotosError", "gather"]


def _render(study: Study) -> Path:
    from bcdh_lib.photos.rendered import render  # only here: it needs open3d, which a folder of photos does not

    render(study)
    return study.rendered_pool


# What photos.source may name: each takes the study and gives the folder that holds the photos.
SOURCES: dict[str, Callable[[Study], Path]] = {"rendered": _render, "folder": locate}


def gather(study: Study) -> None:
    """The photos stage: the photos of photos.source, upright and decoded once, with photos.parquet and left_out.parquet.

    A rendered pool is taken in by the very code that takes in a stranger's folder. Raises PhotosError.
    """
    take_in(study, SOURCES[study.params.photos.source](study))
